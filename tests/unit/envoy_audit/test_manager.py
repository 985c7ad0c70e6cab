from extauthz.envoy_audit.manager import get, is_on, items, managers, members, mentions, message_type, text
from extauthz.envoy_audit.rule import MANAGER
from tests.policies import read


def node(source: str):
    root, codes = read(source)
    assert codes == []
    return root


def test_fields_have_two_spellings():
    """Those of protobuf's JSON mapping; a null is none, and so is what leads through no mapping."""
    assert text(node("{a_b: {cD_e: x}}"), "a_b", "cD_e") == "x"
    assert text(node("{aB: {c: x}}"), "a_b", "c") == "x"
    assert text(node("{a: null}"), "a") == text(node("{a: [1]}"), "a", "b") == text(None, "a") == ""
    assert get(node("[1]"), "a") is None


def test_booleans_lists_and_maps():
    """Another type is none of them."""
    assert is_on(node("{a: true}"), "a")
    assert not is_on(node("{a: 'true'}"), "a")
    assert len(items(node("{a: [1, 2]}"), "a")) == 2
    assert items(node("{a: 1}"), "a") == ()
    assert list(members(node("{a: {x: 1, y: 2}}"), "a")) == ["x", "y"]
    assert members(node("{a: 1}"), "a") == {}


def test_types_are_known_by_their_last_name():
    """The rest is a package, and a version."""
    assert message_type(node('{"@type": type.googleapis.com/envoy.x.v3.ExtAuthz}')) == "ExtAuthz"
    assert message_type(node("{}")) == ""


def test_texts_are_found_anywhere():
    """In mappings and lists, as whole texts."""
    value = node("{a: [{b: x}, [y], z]}")
    assert mentions(value, "x")
    assert mentions(value, "z", "other")
    assert not mentions(value, "b", "xx")
    assert not mentions(None, "x")


def test_a_manager_knows_its_filters_hosts_and_clusters():
    """A filter within a matcher is that filter."""
    wrapped = '{"@type": x.ExtensionWithMatcher, extension_config: {typed_config: {"@type": x.ExtAuthz}}}'
    text_ = (
        f"listeners: [{{{MANAGER}, http_filters: [{{name: a, typed_config: {wrapped}}}, {{name: b}}], "
        "route_config: {virtual_hosts: [{name: h, typed_per_filter_config: {a: {disabled: true}}}]}}]\n"
        "clusters: [{name: c, load_assignment: {}}, {name: d}]\n"
    )
    (manager,) = managers(node(text_))
    assert [(each.name, each.type) for each in manager.filters] == [("a", "ExtAuthz"), ("b", "")]
    assert [each.name for each in manager.of_type("ExtAuthz")] == ["a"]
    assert [(scope.label, scope.filter_name, scope.filter_type) for scope in manager.scopes] == [("h", "a", "ExtAuthz")]
    assert list(manager.clusters) == ["c"]


def test_configuration_of_a_route_names_its_filter_by_type():
    """Where the filters come by discovery."""
    text_ = (
        f"{MANAGER}\nroute_config: {{virtual_hosts: [{{routes: [{{match: {{path: /x}}, "
        'typed_per_filter_config: {z: {"@type": x.RBACPerRoute}}}]}]}\n'
    )
    (manager,) = managers(node(text_))
    (scope,) = manager.scopes
    assert (scope.label, scope.filter_type) == ("/x", "RBAC")
