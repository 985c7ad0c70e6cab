import math
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cel_expr_python import cel as library
from cel_expr_python.ext import ext_strings
from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from extauthz.languages import cel
from extauthz.languages.cel import CelCompiler, CelCondition, CelError, CelFinding
from extauthz.languages.cel_facts import NAMES
from extauthz.languages.cel_guard import quoted
from extauthz.languages.cel_value import plain_value
from extauthz.model.access import Facts, JsonValue, Principal, RoleHolding
from extauthz.model.decision import Outcome
from extauthz.model.policy import Condition
from tests.strategies import SPAN, Request, make_facts

COMPILER = CelCompiler()
SATISFIED, UNSATISFIED, ERRORED = Outcome.SATISFIED, Outcome.UNSATISFIED, Outcome.ERRORED


def compiled(text: str) -> CelCondition:
    return COMPILER.compile(text, SPAN)


def with_claims(claims: Any, **path: str) -> Facts:
    caller = Principal(authenticated=True, subject="alice", claims=claims)
    return make_facts(Request(), caller, RoleHolding(), **path)


def outcome(text: str, claims: Any = MappingProxyType({}), **path: str) -> Outcome:
    return compiled(text).evaluate(with_claims(claims, **path))


# --- What a condition is -------------------------------------------------------------------------------------------


def test_a_condition_is_what_the_model_wants():
    """Text, place and reads, as the policy set holds them."""
    condition: Condition = compiled("request.method == 'GET' && path.order_id in claims.orders && has(claims.a.b)")
    assert condition.span is SPAN
    assert condition.text.startswith("request.method")
    assert condition.reads == {("request.method",), ("path", "order_id"), ("claims", "orders"), ("claims", "a", "b")}
    assert repr(condition) == f"CelCondition({condition.text!r})"


def test_a_condition_survives_the_way_to_another_process():
    """It decides the same there, its variables included, and reads the same."""
    compiler = CelCompiler()
    compiler.define_variable("own", "path.order_id in claims.orders")
    condition = compiler.compile("variables.own && has(claims.a)", SPAN)
    received = pickle.loads(pickle.dumps(condition))
    assert (received.text, received.span, received.reads) == (condition.text, SPAN, condition.reads)
    assert (received.checked, received.unguarded) == (condition.checked, condition.unguarded)
    known: list[dict[str, JsonValue]] = [{"orders": ["7"], "a": 1}, {"orders": ["7"]}, {"orders": []}, {}]
    for claims in known:
        facts = with_claims(claims, order_id="7")
        assert received.evaluate(facts) is condition.evaluate(facts)


def test_a_condition_is_decided_by_the_facts():
    """The example of an owner rule, over three requests."""
    condition = compiled("request.method == 'GET' && path.order_id in claims.orders")
    assert condition.evaluate(with_claims({"orders": ["7", "8"]}, order_id="7")) is SATISFIED
    assert condition.evaluate(with_claims({"orders": ["7", "8"]}, order_id="9")) is UNSATISFIED
    assert condition.evaluate(with_claims({}, order_id="7")) is ERRORED


def test_the_checked_form_speaks_of_names_not_slots():
    """Other back ends lower it: dotted names are identifiers, variables are gone."""
    compiler = CelCompiler()
    compiler.define_variable("reads", "request.method == 'GET'")
    checked = CheckedExpr.FromString(compiler.compile("variables.reads", SPAN).checked)
    assert checked.expr.call_expr.args[0].ident_expr.name == "request.method"


# --- Outcomes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("claims.none == 1", ERRORED),
        ("claims.none == 1 || true", SATISFIED),
        ("true || claims.none == 1", SATISFIED),
        ("claims.none == 1 && false", UNSATISFIED),
        ("false && claims.none == 1", UNSATISFIED),
        ("claims.none == 1 || false", ERRORED),
        ("claims.none == 1 && true", ERRORED),
        ("!(claims.none == 1)", ERRORED),
        ("has(claims.none) && claims.none == 1", UNSATISFIED),
        ("has(claims.none.x)", ERRORED),
        ("claims.text && true", ERRORED),
        ("claims.text > 1", ERRORED),
        ("claims.text == 1", UNSATISFIED),
        ("[1].exists(x, claims.none == x)", ERRORED),
        ("[1, 2].exists(x, claims.none == x || x == 2)", SATISFIED),
        ("1 / 0 == 1", ERRORED),
        ("claims.level == 5", SATISFIED),
        ("claims.level > 4 && claims.level < 5.5", SATISFIED),
        ("claims.level + 1.0 == 6.0", SATISFIED),
        ("claims.level in [4, 5]", SATISFIED),
        ("claims.flag == true", SATISFIED),
        ("claims.flag == 1", UNSATISFIED),
        ("claims.nothing == null && has(claims.nothing)", SATISFIED),
        ("claims.text.matches('^a+$')", SATISFIED),
        ("claims.text.upperAscii() == 'AA'", SATISFIED),
        ("claims.list.exists(x, x.id == 'b')", SATISFIED),
        ("claims.list[1].id == 'b'", SATISFIED),
        ("claims.list[2].id == 'b'", ERRORED),
        ("claims['list'].size() == 2 && size(claims) == 5", SATISFIED),
        ("claims[claims.text] == 1", ERRORED),
    ],
)
def test_errors_and_values_are_as_cel_has_them(text, expected):
    """An error is absorbed by `||` and `&&` in either order and by nothing else; claims' numbers are doubles."""
    claims = {"text": "aa", "level": 5, "flag": True, "nothing": None, "list": [{"id": "a"}, {"id": "b"}]}
    assert outcome(text, claims) is expected


def test_an_error_is_not_mistaken_for_true():
    """The library's errors are non-empty text."""
    assert outcome("claims.none == 1") is ERRORED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'x-two' in request.headers", SATISFIED),
        ("request.headers['x-two'] == 'a'", ERRORED),
        ("request.headers['x-two'] != 'a'", ERRORED),
        ("request.header_values['x-two'] == ['a', 'b']", SATISFIED),
        ("'x-none' in request.headers", UNSATISFIED),
        ("request.headers.exists(k, k == 'x-one')", ERRORED),
        ("request.header_values.exists(k, k == 'x-one')", SATISFIED),
        ("request.headers['x-one'] == 'v'", SATISFIED),
        ("request.query.a == '1' && 'b' in request.query && !has(request.query.c)", SATISFIED),
        ("request.query.b == '2'", ERRORED),
        ("request.query_values.b == ['2', '3']", SATISFIED),
    ],
)
def test_a_repeated_key_is_there_but_is_not_one_text(text, expected):
    """Neither value is picked: what the upstream takes is not known."""
    headers = {"x-one": ("v",), "x-two": ("a", "b")}
    assert compiled(text).evaluate(make_facts(Request(target="/?a=1&b=2&b=3", headers=headers))) is expected


def test_roles_in_doubt_are_an_error_that_can_be_absorbed():
    """A binding that could not be evaluated makes nobody an admin, nor surely none."""
    doubtful = make_facts(roles=RoleHolding(errored=frozenset({"admin"})))
    assert compiled("'admin' in principal.roles").evaluate(doubtful) is ERRORED
    assert compiled("!('admin' in principal.roles)").evaluate(doubtful) is ERRORED
    assert compiled("'admin' in principal.roles || request.method == 'GET'").evaluate(doubtful) is SATISFIED


def test_time_zones_are_known():
    """In winter and in summer."""
    condition = compiled("request.time.getHours('Europe/Berlin') == 13")
    assert condition.evaluate(make_facts(Request(received_at=1_705_320_000))) is SATISFIED  # 2024-01-15T12:00:00Z
    assert condition.evaluate(make_facts(Request(received_at=1_721_041_200))) is SATISFIED  # 2024-07-15T11:00:00Z


def test_without_zones_of_the_system_those_of_tzdata_are_used(monkeypatch, tmp_path):
    """Small images have none; what the operator set stays."""
    monkeypatch.delenv("TZDIR", raising=False)
    CelCompiler()
    assert "TZDIR" not in os.environ or not Path("/usr/share/zoneinfo").is_dir()
    monkeypatch.setattr(cel, "_SYSTEM_TIME_ZONES", tmp_path / "none")
    CelCompiler()
    assert (Path(os.environ["TZDIR"]) / "Europe" / "Berlin").is_file()
    monkeypatch.setenv("TZDIR", "mine")
    CelCompiler()
    assert os.environ["TZDIR"] == "mine"


# --- Variables -----------------------------------------------------------------------------------------------------


def test_variables_of_any_type_are_inlined():
    """Also in other variables; errors and short circuits are those of the text written out."""
    compiler = CelCompiler()
    compiler.define_variable("limit", "3.0")
    compiler.define_variable("teams", "['red', 'blue']")
    compiler.define_variable("profile", "claims.profile")
    compiler.define_variable("senior", "variables.profile.level >= variables.limit")
    condition = compiler.compile("variables.senior && claims.team in variables.teams", SPAN)
    assert condition.reads == {("claims", "profile", "level"), ("claims", "team")}
    assert condition.evaluate(with_claims({"profile": {"level": 5}, "team": "red"})) is SATISFIED
    assert condition.evaluate(with_claims({"profile": {"level": 2}})) is UNSATISFIED
    assert condition.evaluate(with_claims({"team": "red"})) is ERRORED
    assert condition.evaluate(with_claims({"team": "green"})) is UNSATISFIED


def test_a_loop_does_not_capture_what_a_variable_reads():
    """Loop variables of the text and of the variable may have the same name."""
    compiler = CelCompiler()
    compiler.define_variable("any", "claims.list.exists(x, x == claims.x)")
    condition = compiler.compile("['no'].all(x, variables.any && x == 'no')", SPAN)
    assert condition.evaluate(with_claims({"list": ["a"], "x": "a"})) is SATISFIED
    assert condition.evaluate(with_claims({"list": ["no"], "x": "a"})) is UNSATISFIED


@pytest.mark.parametrize("name", ["", "a-b", "1a", "in", "a.b", "a\0"])
def test_a_variable_needs_a_name_that_cel_can_write(name):
    """Otherwise nothing could read it."""
    with pytest.raises(CelError, match="no name for a variable"):
        CelCompiler().define_variable(name, "true")


def test_a_variable_is_defined_once_and_before_it_is_read():
    """The order is the caller's."""
    compiler = CelCompiler()
    with pytest.raises(CelError, match="unknown name"):
        compiler.compile("variables.late", SPAN)
    compiler.define_variable("late", "true")
    assert compiler.compile("variables.late", SPAN).evaluate(make_facts()) is SATISFIED
    with pytest.raises(CelError, match="defined twice"):
        compiler.define_variable("late", "false")


def test_a_faulty_variable_is_refused_where_it_is_defined():
    """With places in its own text, and it stays undefined."""
    compiler = CelCompiler()
    with pytest.raises(CelError) as caught:
        compiler.define_variable("v", "true && claim.x == 1")
    assert caught.value.findings[0][:2] == (1, 9)
    with pytest.raises(CelError, match=r"unknown name 'variables\.v'"):
        compiler.compile("variables.v", SPAN)


def test_variables_cannot_grow_or_nest_without_bound():
    """Doublings meet the limit of nodes, chains that of depth; both are findings."""

    def define_each_from_the_last(form):
        compiler = CelCompiler()
        compiler.define_variable("v0", "[claims.a, claims.b]")
        for i in range(100):
            last = f"variables.v{i}"
            compiler.define_variable(f"v{i + 1}", form.format(last, last))

    with pytest.raises(CelError, match="too large"):
        define_each_from_the_last("{} + {}")
    with pytest.raises(CelError, match="nested too deeply"):
        define_each_from_the_last("[[[{}]]][0][0][0]")


# --- Texts that are no conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("claims.flag", "may be anything", "write `claims.flag == true`"),
        ("true ? claims.flag : true", "may be anything", "write `(true ? claims.flag : true) == true`"),
        ("request.method", "of type string", ""),
        ("principal.roles", "of type list<string>", ""),
        ("null", "of type null", ""),
    ],
)
def test_only_a_bool_is_a_condition(text, message, hint):
    """Whether a value that may be anything counts as true is not guessed."""
    with pytest.raises(CelError) as caught:
        compiled(text)
    (finding,) = caught.value.findings
    assert message in finding.message
    assert finding.hint == hint


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "'\ud800' == ''",
        "(" * 5000 + "true" + ")" * 5000,
        "[1].exists(x, " * 28 + "true" + ")" * 28,
        "claims" + ".a" * 3000 + " == 1",
        "true ? true : " * 100 + "true",
        "x" * 200_000,
        "{1: 1, 1: 2} == {}",
        "[%s].all(x, [%s].all(y, true))" % (("1," * 200,) * 2),
    ],
)
def test_texts_that_would_break_the_library_are_refused(text):
    """Nothing but a finding comes of them."""
    with pytest.raises(CelError):
        compiled(text)


FRAGMENTS = st.sampled_from(
    [
        *(
            "claims",
            "request",
            ".method",
            ".headers",
            "['x']",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "==",
            "&&",
            "||",
            "!",
            "?",
        ),
        *(
            ":",
            "in",
            "has(",
            "true",
            "1",
            "1.0",
            "'a'",
            "r'\\'",
            ".exists(x, ",
            "x",
            ".matches('(')",
            "+",
            "-",
            "//",
            "\n",
        ),
        *("variables.v", ".", ",", "null", "\\", '"', "`", "é", "\0", "matches(", "timestamp(", "'''"),
    ]
)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=40) | st.lists(FRAGMENTS, max_size=12).map(" ".join))
def test_any_text_compiles_or_is_refused_with_findings_in_place(text):
    """No other error comes out, and every finding points into the text."""
    findings: Sequence[CelFinding] = ()
    try:
        assert compiled(text).evaluate(make_facts()) in Outcome
    except CelError as error:
        findings = error.findings
    for finding in findings:
        assert 1 <= finding.line <= text.count("\n") + 1
        assert finding.column >= 1
        assert finding.message


def test_a_long_condition_compiles_in_reasonable_time():
    """Seven thousand different claims: the analysis does not grow with their square."""
    condition = compiled(" || ".join(f"claims.c{i}==1" for i in range(5000)))
    assert len(condition.unguarded) == 5000
    assert condition.evaluate(with_claims({f"c{i}": i for i in range(5000)})) is SATISFIED


# --- Input that is unsafe ------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(), max_size=8)
HOSTILE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.sampled_from("abc") | TEXT, inner, max_size=4)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=4).map(MappingProxyType)
    ),
    max_leaves=12,
)
HOSTILE_CONDITIONS = [
    compiled(text)
    for text in (
        "claims.a == 'a'",
        "claims.a.b.c == 1",
        "has(claims.a) && has(claims.a.b)",
        "claims.exists(k, claims[k] == 'x')",
        "size(claims) > 2",
        "claims.a.exists(x, x == claims.b)",
        "claims[request.method] == claims.c",
        "claims.a.matches(claims.b)",
        "claims.a < claims.b",
        "request.headers['a'] == claims.a",
        "request.headers.exists(k, request.headers[k] == '')",
        "request.header_values['b'].exists(v, v == 'a')",
        "request.query.a == path.a",
        "request.query_values.exists(k, k == 'b')",
        "body.a == claims.a || has(body.b)",
        "principal.subject == claims.a && 'a' in principal.groups",
        "request.time > timestamp('2026-01-01T00:00:00Z')",
        "source.address == destination.address || connection.uri_san_peer_certificate == 'a'",
    )
]


@given(
    st.dictionaries(st.sampled_from("abc") | TEXT, HOSTILE, max_size=5),
    st.dictionaries(st.sampled_from("abc") | TEXT, st.lists(TEXT, min_size=1, max_size=3).map(tuple), max_size=3),
    st.builds(
        Request,
        method=TEXT,
        target=TEXT | TEXT.map("/?a=".__add__),
        host=TEXT,
        source_address=TEXT,
        source_port=st.integers(0, 65535),
        peer_identity=TEXT,
        body=st.none() | st.binary() | st.just(b'{"a": 1}'),
        received_at=st.none() | st.floats(),
    ),
    TEXT,
)
@settings(max_examples=300, deadline=None)
def test_evaluation_never_raises(claims, headers, request, text):
    """Whatever a caller sends, every condition has an outcome."""
    object.__setattr__(request, "headers", headers | {"content-type": ("application/json",)})
    caller = Principal(authenticated=True, subject=text, groups=(text,), claims=claims)
    facts = make_facts(request, caller, a=text)
    for condition in HOSTILE_CONDITIONS:
        assert condition.evaluate(facts) in Outcome


@settings(deadline=None)
@given(st.text(), st.text(st.characters()))
def test_text_with_nul_never_equals_what_stands_before_it(prefix, rest):
    """Neither as a claim, nor inside one, nor as a header: the library would cut it there."""
    unsafe = f"{prefix}\0{rest}"
    literal = quoted(prefix)
    for claims in ({"a": unsafe}, {"a": [unsafe]}, {"a": {"b": unsafe}}, {"a": {unsafe: 1}}):
        for text in (
            f"claims.a == {literal}",
            f"{literal} in claims.a",
            f"claims.a.b == {literal}",
            f"claims.a[0] == {literal}",
            f"claims.a != {literal}",
            f"claims == {{'a': {literal}}}",
        ):
            assert outcome(text, claims) is ERRORED, (text, claims)
    header = make_facts(Request(headers={"x": (unsafe,)}))
    assert compiled(f"request.headers['x'] == {literal}").evaluate(header) is ERRORED
    assert compiled("'x' in request.headers").evaluate(header) is SATISFIED


@pytest.mark.parametrize(
    "value",
    ["\ud800", "a\0", math.nan, math.inf, -math.inf, 10**400, {"k\0": 1}, {"k\ud800": 1}, [[["\0"]]], {1, 2}, object()],
)
def test_an_unsafe_claim_spoils_its_own_reads_only(value):
    """Its reads are errors, absorbed as any; that it is there can be told, and the other claims can be read."""
    claims = {"bad": value, "good": "yes", "nested": {"bad": value, "good": "yes"}}
    assert outcome("claims.bad == 'a'", claims) is ERRORED
    assert outcome("claims.bad == 'a' || claims.good == 'yes'", claims) is SATISFIED
    assert outcome("has(claims.bad) && has(claims.nested.bad) && 'bad' in claims", claims) is SATISFIED
    assert outcome("claims.nested.good == 'yes'", claims) is SATISFIED
    assert outcome("claims.nested.bad == 'a'", claims) is ERRORED
    assert outcome("claims.nested == {}", claims) is ERRORED
    assert outcome("claims.exists(k, k == 'good')", claims) is ERRORED


@pytest.mark.parametrize("depth", [33, 1000, 5000, 100_000])
def test_deep_nesting_is_an_error_and_no_crash(depth):
    """The library converts recursively, on a stack that a caller could overflow."""
    as_list: JsonValue = []
    as_dict: JsonValue = {}
    for _ in range(depth):
        as_list, as_dict = [as_list], {"a": as_dict}
    for claims in ({"a": as_list}, {"a": as_dict}):
        assert outcome("claims.a == 1", claims) is ERRORED
        assert outcome("claims == {}", claims) is ERRORED
        assert outcome("has(claims.a)", claims) is SATISFIED
    deepest = outcome("claims.a.a.a == {}", {"a": as_dict})
    assert deepest is (UNSATISFIED if depth == 33 else ERRORED)  # what is read counts, not how deep it stands


def test_nulls_do_not_wear_out():
    """Reading the value of a null would drop a reference to None each time."""
    condition = compiled("claims.a == null && claims.b == [null] && claims.c.d == null")
    facts = with_claims({"a": None, "b": [None], "c": {"d": None}})
    assert all(condition.evaluate(facts) is SATISFIED for _ in range(20_000))


def test_a_loop_over_too_much_is_an_error():
    """The library's budget is 10,000 iterations; it raises, and no `||` absorbs that."""
    claims = {"l": list(range(200))}
    assert outcome("claims.l.all(x, claims.l.all(y, x == y || true))", claims) is ERRORED
    assert outcome("claims.l.all(x, claims.l.all(y, true)) || true", claims) is ERRORED
    assert outcome("claims.l.all(x, true)", claims) is SATISFIED


def test_a_failing_fact_is_an_error():
    """A bug in a room that derives facts does not escape, and does not allow."""

    def fail(_):
        raise RuntimeError("bug")

    facts = make_facts()
    facts.resolve_roles = fail
    assert compiled("'admin' in principal.roles").evaluate(facts) is ERRORED


def test_a_condition_may_be_shared_by_threads():
    """Each thread gets the outcome of its own facts."""
    condition = compiled("path.order_id in claims.orders")

    def outcomes(n: int) -> set[Outcome]:
        facts = with_claims({"orders": [str(n)]}, order_id="3")
        return {condition.evaluate(facts) for _ in range(2000)}

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(outcomes, range(6))) == [{SATISFIED if n == 3 else UNSATISFIED} for n in range(6)]


# --- The same answer as the library over whole maps ----------------------------------------------------------------

KEYS = st.sampled_from("abc")
LITERALS = st.sampled_from(["1", "2.0", "'x'", "true", "null", "['x']", "{'a': 'x'}"])
PATHS = st.builds(
    lambda keys, style: "claims" + "".join(f".{k}" if style else f"['{k}']" for k in keys),
    st.lists(KEYS, min_size=1, max_size=3),
    st.booleans(),
)
ATOMS = st.one_of(
    st.builds("{} == {}".format, PATHS, LITERALS),
    st.builds("{} != {}".format, PATHS, LITERALS),
    st.builds("{} < {}".format, PATHS, PATHS),
    st.builds("has(claims.{})".format, KEYS),
    st.builds("has(claims.{}.{})".format, KEYS, KEYS),
    st.builds("'{}' in claims".format, KEYS),
    st.builds("'{}' in {}".format, st.sampled_from(["a", "x"]), PATHS),
    st.builds("path.p in {}".format, PATHS),
    st.builds("claims[path.p] == {}".format, LITERALS),
    st.builds("path.p in claims && claims.{} == 'x'".format, KEYS),
    st.builds("{}.exists(x, x == {})".format, PATHS, LITERALS),
    st.builds("{}.all(x, has(x.a) && x.a == {})".format, PATHS, LITERALS),
    st.builds("claims.exists(k, claims[k] == {})".format, LITERALS),
    st.builds("{}.size() > size(claims)".format, PATHS),
    st.builds("request.headers['{}'] == 'x'".format, KEYS),
    st.builds("'{}' in request.headers".format, KEYS),
    st.builds("{} == true".format, PATHS),
    st.sampled_from(["true", "false", "1/0 == 1", "principal.subject == 'alice'", "principal.authenticated"]),
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)
SAFE = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "a", ""]) | st.just(2.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.just("x"), inner, max_size=3),
    max_leaves=8,
)

WHOLE = library.NewEnv(
    variables={name: library.Type(kind.type) for name, kind in NAMES.items()}, extensions=[ext_strings.ExtStrings()]
)


def outcome_over_whole_maps(text: str, claims: Any, headers: dict[str, str], p: str, subject: str | None) -> Outcome:
    """The library's own answer, everything handed over."""
    data = {
        "claims": plain_value(claims),
        "request.headers": headers,
        "path": {"p": p},
        "principal.authenticated": subject is not None,
        **({} if subject is None else {"principal.subject": subject}),
    }
    value = WHOLE.compile(text).eval(data=data)
    if value.type() != library.Type.BOOL:
        return ERRORED
    return SATISFIED if value.value() is True else UNSATISFIED


@given(
    EXPRESSIONS,
    st.dictionaries(KEYS | st.just("x"), SAFE, max_size=4),
    st.dictionaries(KEYS, st.sampled_from(["x", "y"])),
    st.sampled_from(["a", "b", "x"]),
    st.none() | st.sampled_from(["alice", "bob"]),
)
@settings(max_examples=1000, deadline=None)
def test_reading_by_slots_is_reading_the_whole(text, claims, headers, p, subject):
    """Handing over path by path changes no outcome."""
    try:
        condition = compiled(text)
    except CelError:
        assume(False)
    caller = Principal(authenticated=subject is not None, subject=subject, claims=claims)
    facts = make_facts(Request(headers={k: (v,) for k, v in headers.items()}), caller, p=p)
    assert condition.evaluate(facts) is outcome_over_whole_maps(text, claims, headers, p, subject)


GUARDED_ATOMS = st.one_of(
    st.builds("claims.{} == 'x'".format, KEYS),
    st.builds("claims.m.{} != 'x'".format, KEYS),
    st.builds("has(claims.{})".format, KEYS),
    st.builds("has(claims.m.{})".format, KEYS),
    st.sampled_from(["has(claims.m)", "'a' in claims", "'b' in claims.m", "true", "false"]),
    st.sampled_from(["principal.subject == 'alice'", "principal.authenticated", "['x'].exists(i, claims.a == i)"]),
)
GUARDED = st.recursive(
    GUARDED_ATOMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=8,
)


@given(
    GUARDED,
    st.dictionaries(KEYS, st.sampled_from(["x", "y"])),
    st.none() | st.dictionaries(KEYS, st.sampled_from(["x", "y"])),
    st.booleans(),
)
@settings(max_examples=1000, deadline=None)
def test_what_errs_for_want_of_something_was_among_the_unguarded(text, claims, m, known):
    """With reads that fail only by absence, an error means that an unguarded path, or one above it, is absent."""
    condition = compiled(text)
    whole = claims | ({} if m is None else {"m": m})
    caller = Principal(authenticated=known, subject="alice" if known else None, claims=whole)
    present: set[tuple[str, ...]] = {("claims", k) for k in whole} | {("claims", "m", k) for k in m or ()}
    if known:
        present.add(("principal.subject",))
    if condition.evaluate(make_facts(Request(), caller)) is ERRORED:
        prefixes = {path[:end] for path in condition.unguarded for end in range(1, len(path) + 1)} - {("claims",)}
        assert prefixes - present


@settings(deadline=None)
@given(GUARDED)
def test_guarding_every_unguarded_path_leaves_none(text):
    """The form that a warning shows can be pasted."""
    condition = compiled(text)
    for _ in range(12):
        if not condition.unguarded:
            return
        condition = compiled(condition.guarded_form(condition.unguarded[0]))
    pytest.fail(f"still unguarded: {condition.text}")


# --- Evaluating for people -----------------------------------------------------------------------------------------


def test_evaluator_tells_values_and_errors_apart():
    """A BOOL has an outcome, another type its text alone, and every error is ERRORED, raised ones included."""

    def evaluated(text: str, **data: object) -> tuple[str, Outcome | None]:
        variables = dict.fromkeys(data, library.Type.DYN)
        environment = library.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings()])
        result = cel.evaluator(cel._unpack(environment.compile(text), CheckedExpr))(data)
        return result.text, result.outcome

    assert evaluated("1 < 2") == ("true", SATISFIED)
    assert evaluated("x == 'b'", x="a") == ("false", UNSATISFIED)
    assert evaluated("[1, 2.5, 'a', null]") == ('[1, 2.5, "a", null]', None)
    assert evaluated("1 / 0 == 1")[1] is ERRORED
    text, raised = evaluated("x.exists(n, n < 0)", x=[1.0] * 20_000)
    assert raised is ERRORED
    assert text.startswith("RuntimeError: ")
