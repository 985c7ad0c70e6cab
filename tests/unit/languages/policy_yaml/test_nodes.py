from extauthz.languages.policy_yaml.nodes import Document, Fields, Items, kind_of, plain_value, yaml_paths
from tests.policies import read


def test_lines_end_at_every_break_of_yaml():
    """CRLF is one break; a line beyond the end is empty."""
    document = Document("a", "one\r\ntwo\rthree\nfour")
    assert [document.line(number) for number in range(6)] == ["", "one", "two", "three", "four", ""]


def test_a_value_without_its_places_is_plain():
    """As JSON would hold it."""
    root, _ = read("a: [1, {b: ~}, x]\n")
    assert root is not None
    assert plain_value(root) == {"a": [1, {"b": None}, "x"]}


def test_kinds_are_named_for_messages():
    """An author reads what stands there."""
    root, _ = read("[a, 1, 1.5, true, false, ~, [], {}]")
    assert isinstance(root, Items)
    assert [kind_of(item) for item in root.items] == [
        *("text", "a number", "a number", "true", "false", "nothing", "a list", "a mapping")
    ]


def test_paths_lead_to_keys_and_values():
    """`routes[1].path`, the same for a key and its value; a shared value has its first place."""
    root, _ = read("routes: [{path: &p /a}, {path: *p, allow: &r [{x: 1}]}, {allow: *r}]\n")
    assert isinstance(root, Fields)
    routes = root.entries["routes"][1]
    assert isinstance(routes, Items)
    second = routes.items[1]
    assert isinstance(second, Fields)
    key, value = second.entries["allow"]
    assert isinstance(value, Items)
    rule = value.items[0]
    wanted = {id(root): "", id(key): "routes[1].allow", id(rule): "routes[1].allow[0]"}
    assert yaml_paths([root], set(wanted)) == wanted
