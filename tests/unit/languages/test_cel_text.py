import pytest
from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr
from google.api.expr.v1alpha1.syntax_pb2 import Expr

from extauthz.languages.cel import CelCompiler
from extauthz.languages.cel_text import loop_of, text_of
from extauthz.model.source import Span

SPAN = Span("p.yaml", 1, 1)


def expression(text: str) -> Expr:
    return CheckedExpr.FromString(CelCompiler().compile(text, SPAN).checked).expr


@pytest.mark.parametrize(
    "text",
    [
        "has(claims.a) && claims['a-b'] == 'x' || !(request.method in ['GET', 'PUT'])",
        "claims.m.exists(x, x.s == path.p && x.y == 'st')",
        "claims.m.all(x, x > 1.0)",
        "claims.m.exists_one(x, x > 1.0)",
        "claims.m.filter(x, x > 1.0).size() > 2",
        "claims.m.map(x, x + 1.0)[0] == 2.0",
        "claims.m.map(x, x > 1.0, x + 1.0)[0] == 2.0",
        "request.time > timestamp('2020-01-01T00:00:00Z') - duration('3s')",
        "request.path.matches('^a') ? true : 1 - (2 - 3) > 0",
        "(claims.a == 1.0 ? claims.b : claims.c) == true",
        "{'a': 1, 'b': 2u}['a'] == 1",
        "-claims.a < 3.0 && (true || false)",
        "(1 + 2) * 3 % 4 == 1 - -1",
        "claims.a == null && b'\\x00a' != b''",
        "'it\\'s' in claims.a",
        "size(claims.a) == 0",
    ],
)
def test_text_means_what_it_was_compiled_from(text):
    """What is written anew compiles to the same expression; what is written plainly comes back as it was."""
    first = expression(text)
    again = text_of(first)
    assert text_of(expression(again)) == again
    if "b'" not in text:
        assert again == text


def test_macros_are_told_from_what_they_expand_to():
    """A loop says what it asks of each item; a map with a condition has two bodies."""
    loop = loop_of(expression("claims.m.exists(x, x > 1.0)"))
    assert loop is not None
    assert (loop.macro, loop.variable, text_of(loop.range), text_of(loop.body)) == (
        "exists",
        "x",
        "claims.m",
        "x > 1.0",
    )
    assert loop_of(expression("claims.a == 1.0")) is None
    conditional = expression("claims.m.map(x, x > 1.0, x + 1.0) == [1.0]")
    assert loop_of(conditional.call_expr.args[0]) is None
