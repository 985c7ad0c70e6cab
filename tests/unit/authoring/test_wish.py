import pytest

from extauthz.authoring.wish import wish
from extauthz.languages.cel import CelCompiler
from extauthz.languages.cel_parts import parts_of
from extauthz.model.access import Principal
from extauthz.model.source import Span
from tests.strategies import Request, make_facts

FACTS = make_facts(
    Request(headers={"x-team": ["red"]}), Principal(True, "a", "corp", claims={"a": "x", "n": 1.0}), p="7"
)
OTHER = "claim claims.a == 'y' (claims.a is \"x\")"


def wished(text: str, *, holds: bool = True) -> list[str]:
    """The alternatives, each as `kind text (now)`."""
    part = parts_of(CelCompiler().compile(text, Span("p", 1, 1)))
    return [
        " and ".join(sorted(f"{fact.kind} {fact.text}" + (f" ({fact.now})" if fact.now else "") for fact in facts))
        for facts in wish(part, FACTS, holds=holds)
    ]


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("claims.a == 'x'", [""]),
        ("claims.a == 'y'", ["claim claims.a == 'y' (claims.a is \"x\")"]),
        ("claims.z == 'y'", ["claim claims.z == 'y' (claims.z is absent)"]),
        ("has(claims.z) && claims.z == 'y'", ["claim claims.z == 'y' (claims.z is absent)"]),
        ("has(claims.z)", ["claim claims.z is there"]),
        ("!has(claims.a)", ["claim claims.a is absent"]),
        ("!(claims.a == 'x')", ["claim claims.a != 'x' (claims.a is \"x\")"]),
        ("!(claims.n > 0.0)", ["claim claims.n <= 0.0 (claims.n is 1.0)"]),
        ("!claims.a.startsWith('x')", ["claim !(claims.a.startsWith('x')) (claims.a is \"x\")"]),
        (
            "claims.a == 'y' && (request.headers['x-team'] == 'blue' || request.method == 'PUT')",
            [
                f"{OTHER} and header request.headers['x-team'] == 'blue' (request.headers['x-team'] is \"red\")",
                f"{OTHER} and request request.method == 'PUT' (request.method is \"GET\")",
            ],
        ),
        ("claims.a == 'y' || claims.n == 1.0", [""]),
        (
            "claims.n == 2.0 ? claims.a == 'x' : claims.a == 'y'",
            ["claim claims.n == 2.0 (claims.n is 1.0)", "claim claims.a == 'y' (claims.a is \"x\")"],
        ),
        ("claims.a == 'y' && false", []),
        ("path.p == '8'", ["path path.p == '8' (path.p is \"7\")"]),
        ("path.q == '8'", []),
        ("body.total < 5.0", ["body body.total < 5.0 (the body is not here, not whole, or not JSON)"]),
    ],
)
def test_wishes_are_the_atoms_that_would_have_to_change(text, wishes):
    """The fewest atoms that make it true, each with what is so instead."""
    assert wished(text) == wishes


def test_what_holds_can_be_wished_away():
    """For a deny: what would make it not hold; of an error, too."""
    assert wished("has(claims.a) && claims.a == 'x'", holds=False) == [
        "claim claims.a is absent",
        "claim claims.a != 'x' (claims.a is \"x\")",
    ]
    assert wished("claims.z == 'y'", holds=False) == ["claim claims.z != 'y' (claims.z is absent)"]
    assert wished("claims.a == 'y'", holds=False) == [""]
