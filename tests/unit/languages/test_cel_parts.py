import pytest

from extauthz.languages.cel import CelCompiler, CelCondition
from extauthz.languages.cel_parts import Kind, Part, PartResult, parts_of
from extauthz.model.access import ANONYMOUS, Facts, Principal
from extauthz.model.decision import Outcome
from extauthz.model.source import Span
from tests.strategies import Request, make_facts

CLAIMS = {
    "a": "x",
    "list": [{"s": "berlin", "n": 1.0}, {"s": "paris", "n": None}],
    "tags": ["a", "b"],
    "long": [float(n) for n in range(20)],
    "map": {"k": 1.0},
}


def condition(text: str, **variables: str) -> CelCondition:
    compiler = CelCompiler()
    for name, value in variables.items():
        compiler.define_variable(name, value)
    return compiler.compile(text, Span("p.yaml", 1, 1))


def facts(principal: Principal | None = None) -> Facts:
    request = Request(headers={"x": ["1"], "y": ["1", "2"]})
    return make_facts(request, principal or Principal(True, "a", "corp", claims=CLAIMS), p="berlin")  # type: ignore[arg-type]


def trace(text: str, **variables: str) -> list[str]:
    """Every part with its value, indented."""

    def lines(result: PartResult, depth: int) -> list[str]:
        own = f"{'  ' * depth}{result.part.text} = {result.result.text}"
        return [own, *(line for child in result.below for line in lines(child, depth + 1))]

    return lines(parts_of(condition(text, **variables)).trace(facts()), 0)


def test_every_part_has_its_value():
    """A chain of `&&` has its parts side by side; constants say nothing."""
    assert trace("has(claims.a) && claims.a == 'x' && request.method in ['GET', 'PUT']") == [
        "has(claims.a) && claims.a == 'x' && request.method in ['GET', 'PUT'] = true",
        "  has(claims.a) = true",
        "  claims.a == 'x' = true",
        '    claims.a = "x"',
        "  request.method in ['GET', 'PUT'] = true",
        '    request.method = "GET"',
    ]


def test_loop_shows_what_it_asks_of_each_item():
    """The item stands in the place of the variable, loops within loops included."""
    assert trace("claims.list.exists(i, i.s == path.p)") == [
        "claims.list.exists(i, i.s == path.p) = true",
        '  claims.list = [{"n": 1.0, "s": "berlin"}, {"n": null, "s": "paris"}]',
        "  claims.list[0].s == path.p = true",
        '    claims.list[0].s = "berlin"',
        '    path.p = "berlin"',
        "  claims.list[1].s == path.p = false",
        '    claims.list[1].s = "paris"',
        '    path.p = "berlin"',
    ]
    nested = trace("claims.tags.all(t, claims.list.exists(i, i.s.startsWith(t)))")
    assert "  claims.list.exists(i, i.s.startsWith(claims.tags[0])) = false" in nested
    assert "    claims.list[0].s.startsWith(claims.tags[1]) = true" in nested


def test_long_list_is_shown_in_part():
    """Eight items are enough to see what is going on, and a map's keys have no index."""
    lines = trace("claims.long.exists(n, n > 100.0)")
    assert [line for line in lines if line.startswith("  claims.long[")][-1] == "  claims.long[7] > 100.0 = false"
    assert len(trace("claims.map.exists(k, k == 'z')")) == 2


def test_variables_are_shown_inlined():
    """What a name stands for is what is evaluated."""
    assert trace("variables.is_x || false", is_x="claims.a == 'x'")[1] == "  claims.a == 'x' = true"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("claims.z == 1.0", "claims.z is absent"),
        ("claims.a.b == 1.0", "claims.a.b cannot be read: it is repeated, malformed or unsafe"),
        ("claims.z.b == 1.0", "claims.z is absent"),
        ("has(claims.z.b)", "claims.z is absent"),
        ("request.headers.y == '1'", "request.headers['y'] cannot be read: it is repeated, malformed or unsafe"),
        ("request.headers.z == '1'", "request.headers['z'] is absent"),
        ("body.x == 1.0", "the body is not here, not whole, or not JSON"),
    ],
)
def test_errors_say_what_is_missing(text, why):
    """Not the library's words, which name our slots, but the fact that could not be read."""
    result = parts_of(condition(text)).evaluate(facts())
    assert (result.outcome, result.text) == (Outcome.ERRORED, why)


def test_nobody_has_no_subject():
    """What only an authenticated caller has is absent for its own reason."""
    result = parts_of(condition("principal.subject == 'a'")).evaluate(facts(ANONYMOUS))
    assert result.text == "principal.subject is absent: nobody is authenticated"


def test_whole_comes_to_what_the_condition_does():
    """The parts are evaluated over the facts that decide, so the whole agrees with the condition."""
    for text in ("claims.a == 'x'", "claims.a == 'y'", "claims.z == 'y'", "claims.list[1].n > 0.0", "has(claims.a.b)"):
        compiled = condition(text)
        assert parts_of(compiled).evaluate(facts()).outcome is compiled.evaluate(facts())


def test_atoms_are_what_the_operators_put_together():
    """The leaves of `&&`, `||`, `!` and `?:`; a loop is one."""
    part = parts_of(
        condition("has(claims.a) && (claims.a == 'x' || !(claims.list.exists(i, i.s == 'a') ? true : false))")
    )
    assert [atom.text for atom in part.atoms()] == [
        *("has(claims.a)", "claims.a == 'x'", "claims.list.exists(i, i.s == 'a')", "true", "false"),
    ]
    assert [atom.text for atom in parts_of(condition("claims.a == 'x'")).atoms()] == ["claims.a == 'x'"]


def test_part_knows_kind_place_and_reads():
    """What an explanation needs besides the value."""
    part = parts_of(condition("has(claims.a)\n  && request.headers.x == claims.b"))
    assert (part.kind, part.is_bool, part.presence) == (Kind.AND, True, None)
    asked, compared = part.children
    assert (asked.kind, asked.presence, asked.place) == (Kind.READ, ("claims", "a"), (1, 4))
    assert (compared.kind, compared.place) == (Kind.OTHER, (2, 24))
    assert compared.reads == {("request.headers", "x"), ("claims", "b")}
    assert [read.part.text for read in part.trace(facts()).reads()] == [
        *("has(claims.a)", "request.headers.x", "claims.b"),
    ]
    assert isinstance(asked, Part)


def test_canonical_form_does_not_depend_on_place():
    """The same part of two conditions is the same; `!=` is the negation of `==`."""
    alone = parts_of(condition("claims.a == 'x'"))
    within = parts_of(condition("request.method == 'GET' && claims.a  !=  'x'")).operands[1]
    assert alone.canonical == (within.canonical[0], False)
    assert within.canonical[1]
    assert parts_of(condition("claims.a == 'y'")).canonical != alone.canonical
    assert (
        parts_of(condition("{'a': claims.a} == {}")).canonical
        == parts_of(condition("{ 'a': claims.a} == {}")).canonical
    )


@pytest.mark.parametrize(
    ("text", "strict"),
    [("claims.a == 'x'", True), ("(claims.a || true) == true", False), ("claims.tags.exists(t, t == 'a')", False)],
)
def test_strict_parts_err_with_what_they_read(text, strict):
    """Logic and loops may pass over an error."""
    assert parts_of(condition(text)).is_strict is strict


@pytest.mark.parametrize(
    ("text", "compared", "equality"),
    [
        ("claims.a == 'x'", {"x"}, (("claims", "a"), "x")),
        ("true != claims.a", None, (("claims", "a"), True)),
        ("request.method in ['GET', 'PUT']", {"GET", "PUT"}, None),
        ("claims.a == claims.b", None, None),
        ("claims.a == 1", None, None),
        ("request.method.startsWith('P')", None, None),
    ],
)
def test_what_parts_compare_with(text, compared, equality):
    """Texts of a comparison; one value of an equality."""
    part = parts_of(condition(text))
    assert part.compared_texts == compared
    assert part.equality == equality


def test_texts_that_are_written():
    """Wherever they stand within."""
    assert parts_of(condition("request.method.startsWith('P') || claims.a in ['x']")).texts == {"P", "x"}
