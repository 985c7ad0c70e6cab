"""Reading a test file raises nothing but its own error, and running what it says raises nothing at all."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.authoring.failure import FailureWriter
from extauthz.authoring.parse import parse_suite
from extauthz.authoring.suite import Case
from extauthz.errors import PolicyError
from tests.suites import STATUSES, runner, shop, surroundings

EXAMPLES = Path(__file__).parents[1] / "golden" / "policy-test"
TEXTS = [
    (EXAMPLES / "broken_test.yaml").read_text(encoding="utf-8"),
    """\
principals:
  clerk: {token: {roles: [clerk]}, expires_in: 5m}
  carol: {claims: {orders: ["7"], scope: a b}}
  bob: {roles: reader, groups: [g], claims: {store: x}}
requests:
  list: {path: /orders, headers: {x-a: [b, c]}, source: 192.0.2.7}
  stock: {path: /stores/x/stock, host: shop.example, json: {total: 7}}
tests:
  - {name: a, principal: clerk, request: list, expect: {rules: list.allow.staff, upstream: {x-user: clerk}}}
  - {name: b, principal: bob, request: {grpc: a.B/C}, expect: 403, now: 2026-03-02T10:00:00Z}
tables:
  - name: t
    expect:
      anonymous: {list: 401, stock: deny}
      carol: {list: no_matching_allow, stock: deny}
""",
]
PIECES = st.sampled_from(
    [
        "",
        "null",
        "[]",
        "{}",
        "~",
        "-1",
        "1e9",
        "true",
        "'",
        '"',
        ": ",
        "- ",
        "*a",
        "&a ",
        "\x00",
        "\u202e",
        "${X}",
        "é",
        "\t",
    ]
)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A test file with some pieces of it replaced."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + draw(PIECES | st.text(max_size=3)) + text[end:]
    return text


RUNNER = runner()
WRITER = FailureWriter(RUNNER.snapshot, STATUSES)


@settings(max_examples=400, deadline=None)
@given(content=changed().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
def test_any_file_is_read_or_refused(content):
    """Whatever stands in it: diagnostics at places, or tests that pass or fail with words."""
    found: PolicyError | None = None
    cases: tuple[Case, ...] = ()
    try:
        cases = parse_suite("a_test.yaml", content, surroundings(shop())).cases
    except PolicyError as error:
        found = error
    assert found is not None or cases
    assert found is None or found.diagnostics
    for case in cases:
        result = RUNNER.run(case)
        if not result.passed:
            assert WRITER.lines(result)
