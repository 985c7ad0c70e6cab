import pytest

from extauthz.languages.cel import CelCompiler, CelError
from tests.strategies import SPAN

COMPILER = CelCompiler()
COMPILER.define_variable("busy", "true")


@pytest.mark.parametrize(
    ("text", "line_column", "message"),
    [
        ("has(principal.authenticated)", (1, 4), "has() looks for a key"),
        ("has(request.headers) || true", (1, 4), "has() looks for a key"),
        ("has(variables.busy)", (1, 4), "has() looks for a key"),
        ("!has(request.method) || true", (1, 5), "has() looks for a key"),
        ("[1].exists(claims, claims == 1)", (1, 11), "the loop variable 'claims' hides"),
        ("[1].all(request, request == 1)", (1, 8), "the loop variable 'request' hides"),
        ("[1].map(variables, variables) == [1]", (1, 8), "the loop variable 'variables' hides"),
        ("{'a': 1, 'a': 2}['a'] == 1", (1, 1), "the map has the key 'a' twice"),
        ("{1: 1, 1u: 2}[1] == 1", (1, 1), "the map has the key 1 twice"),
        ("claims.n + 1 == 2", (1, 10), "'+' always fails"),
        ("10 - claims.n > 0", (1, 4), "'-' always fails"),
        ("body.n % 2 == 0", (1, 8), "'%' always fails"),
        ("claims.n * request.headers.size() > 1", (1, 10), "'*' always fails"),
        ("request.headers['X-A'] == ''", (1, 16), "header names are in lower case"),
        ("'X-A' in request.header_values", (1, 7), "header names are in lower case"),
        ("request.headers[':path'] == ''", (1, 16), "the proxy keeps ':path' apart"),
        ("has(request.headers.host)", (1, 4), "the proxy keeps 'host' apart"),
        ("request.headers['x a'] == ''", (1, 16), "'x a' is no header name"),
        ("request.headers[''] == ''", (1, 16), "'' is no header name"),
        ("request.method.matches('(')", (1, 23), "not an RE2 pattern: missing )"),
        ("matches(request.method, '(?=a)')", (1, 8), "not an RE2 pattern: invalid perl operator"),
        ("request.time.getHours('Europe/Berln') > 1", (1, 22), "unknown time zone 'Europe/Berln'"),
        ("request.time > timestamp('2026-01-01')", (1, 25), "'2026-01-01' is no timestamp"),
        ("duration('5') > duration('1s')", (1, 9), "'5' is no duration"),
        ("claims.n == int('x')", (1, 16), "'x' is no int"),
    ],
)
def test_what_can_never_work_is_refused(text, line_column, message):
    """At its place, whether or not the compiler takes it."""
    with pytest.raises(CelError) as caught:
        COMPILER.compile(text, SPAN)
    assert any(f[:2] == line_column and f.message.startswith(message) for f in caught.value.findings)


@pytest.mark.parametrize(
    "text",
    [
        "has(claims.authenticated)",
        "has(claims.request.method)",
        "[{'a': 1}].exists(m, has(m.a))",
        "{'a': 1, 'b': 1}['a'] == 1",
        "{true: 1, 1: 2}[1] == 2",
        "claims.n + 1.0 == 2.0",
        "int(claims.n) % 2 == 0",
        "claims.s + 'x' == 'ax'",
        "size(claims.list) + 1 == 2",
        "request.headers['x-a_b'] == ''",
        "request.query['X'] == ''",
        "claims['Host'] == ''",
        "request.method.matches('^(GET|HEAD)$')",
        "request.method.matches(claims.pattern)",
        "request.time.getHours('Europe/Berlin') > 1",
        "request.time.getHours('-02:30') > 1",
        "request.time.getHours(claims.zone) > 1",
        "request.time > timestamp('2026-01-01T00:00:00Z')",
        "duration('90s') > duration('1m')",
    ],
)
def test_what_may_work_is_taken(text):
    """The checks find no fault in these."""
    assert COMPILER.compile(text, SPAN).text == text


def test_faults_of_every_kind_are_told_together():
    """Those of the compiler come first only when it cannot go on."""
    with pytest.raises(CelError) as caught:
        COMPILER.compile("request.headers['X-A'] == '' && request.method.matches('(') && has(request.host)", SPAN)
    assert len(caught.value.findings) == 2
