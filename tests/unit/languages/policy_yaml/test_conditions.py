import pytest

from tests.policies import HEAD, errors, only_route


def condition(variables: str, when: str) -> str:
    return f"{HEAD}variables: {variables}\nroutes:\n  - {{name: a, path: /a, allow: [{{when: {when}}}]}}\n"


def test_variables_are_defined_in_any_order():
    """Each is compiled after those that it reads."""
    route = only_route(condition("{a: variables.b, b: variables.c, c: \"request.method == 'GET'\"}", "variables.a"))
    assert route.allow[0].conditions[0].condition.reads == {("request.method",)}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["\"request.host == 'variables.x'\"", '"true // variables.x"', "claims.variables.x == 1"]
)
def test_only_code_reads_variables(text):
    """Not a string, a comment or a claim of that name."""
    assert only_route(condition("{a: 'true'}", text)).name == "a"


def test_a_variable_that_failed_is_reported_once():
    """What reads it is not wrong for that."""
    assert [code for code, _ in errors(condition("{a: request.nothing, b: variables.a}", "variables.b"))] == ["EAZ801"]


@pytest.mark.parametrize(
    ("variables", "cycles"),
    [
        ("{a: variables.a}", ["'a' -> 'a'"]),
        ("{a: variables.b, b: variables.a, c: variables.a}", ["'a' -> 'b' -> 'a'"]),
        ("{a: variables.b && variables.d, b: variables.a, d: variables.d}", ["'a' -> 'b' -> 'a'", "'d' -> 'd'"]),
    ],
)
def test_variables_do_not_read_themselves(variables, cycles):
    """Each cycle once, and nothing about those that only lead into it."""
    found = errors(condition(variables, "'true'"))
    assert found == [("EAZ305", f"a variable reads itself: {cycle}") for cycle in cycles]


def test_an_unknown_variable_is_found_where_it_is_read():
    """At its name, with what it resembles."""
    text = condition("{busy: 'true'}", "\"request.method == 'GET' && variables.bussy\"")
    assert errors(text) == [("EAZ306", "there is no variable 'bussy'")]


def test_variable_names_are_identifiers():
    """As CEL writes them."""
    assert [code for code, _ in errors(condition("{a-b: 'true'}", "'true'"))] == ["EAZ206"]
    assert [code for code, _ in errors(condition("{in: 'true'}", "'true'"))] == ["EAZ801"]


def test_unclosed_text_takes_no_time():
    """Backslashes in a string that never ends are read once."""
    when = "|\n          '''" + "\\" * 4000 + "\n"
    text = f"{HEAD}routes:\n  - path: /a\n    allow:\n      - when: {when}"
    assert {code for code, _ in errors(text)} == {"EAZ801"}
