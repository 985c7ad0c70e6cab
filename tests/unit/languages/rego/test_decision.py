import json
import pickle
from decimal import Decimal

import pytest

from extauthz.languages.rego import UNDEFINED, Module
from extauthz.languages.rego.condition import RegoPolicy, rego_condition
from extauthz.languages.rego.decision import DocumentError, RegoDecision, judgment_of
from extauthz.model.access import Deadline
from extauthz.model.decision import HeaderChanges, Judgment, Outcome, ReplyDetails
from extauthz.model.source import Span
from extauthz.sources.rego_planner import plan_with_regopy
from tests.strategies import Request, make_facts

LISTED = ("x-tenant", "x-level")


def allowing(**keys) -> Judgment:
    return judgment_of({"allowed": True, **keys}, LISTED)


def denying(**keys) -> Judgment:
    return judgment_of({"allowed": False, **keys}, LISTED)


def test_no_value_is_no_allow():
    """A rule that is undefined says nothing of the reply either."""
    assert judgment_of(UNDEFINED, ()) == Judgment(Outcome.UNSATISFIED)


@pytest.mark.parametrize(("value", "outcome"), [(True, Outcome.SATISFIED), (False, Outcome.UNSATISFIED)])
def test_a_boolean_is_a_decision(value, outcome):
    """Whether it stands alone or in an object without more."""
    assert judgment_of(value, ()).outcome is outcome
    assert judgment_of({"allowed": value}, ()).outcome is outcome
    assert judgment_of(value, ()).details == ReplyDetails()


def test_an_allow_says_what_becomes_of_the_request():
    """Headers for the upstream, removals, the query; and headers of the response, metadata."""
    judged = allowing(
        headers=[{"X-Tenant": "acme"}, {"x-level": ["1", "", "2"]}],
        request_headers_to_remove=["Cookie", "x-b"],
        response_headers_to_add={"Set-Cookie": ["a", "b"]},
        query_parameters_to_set={"q": "1", "r": ["2"]},
        query_parameters_to_remove=["token"],
        dynamic_metadata={"n": 1, "d": Decimal("0.5"), "deep": [{"x": None, "t": True}]},
        body=3,
        http_status="not looked at",
        reason="unknown keys say nothing",
    )
    assert judged == Judgment(
        Outcome.SATISFIED,
        ReplyDetails(
            headers=(("set-cookie", "a"), ("set-cookie", "b")),
            query_set=(("q", "1"), ("r", "2")),
            query_remove=("token",),
            metadata={"n": 1.0, "d": 0.5, "deep": [{"x": None, "t": True}]},
        ),
        HeaderChanges((("x-tenant", "acme"), ("x-level", "1,2")), ("cookie", "x-b")),
    )


def test_a_denial_says_what_is_answered():
    """Status, headers and body; what is about an allow is not looked at."""
    judged = denying(http_status=302, headers={"location": "/login"}, body="\ud800", request_headers_to_remove=3)
    assert judged == Judgment(
        Outcome.UNSATISFIED, ReplyDetails(status=302, headers=(("location", "/login"),), body="?")
    )


@pytest.mark.parametrize(
    "value",
    [None, 1, "true", [], {}, {"allowed": None}, {"allowed": 1}, {"allowed": "true"}, {"allow": True}],
)
def test_what_is_no_decision(value):
    """Neither a boolean nor an object with a boolean `allowed`: an error, never an allow."""
    with pytest.raises(DocumentError):
        judgment_of(value, LISTED)


@pytest.mark.parametrize(
    "keys",
    [
        {"headers": {"x-other": "1"}},
        {"headers": {"x-tenant": 1}},
        {"headers": {"x-tenant": [1]}},
        {"headers": {"x-tenant": None}},
        {"headers": {"x-tenant": "a\nb"}},
        {"headers": {"x-tenant": " a"}},
        {"headers": {"x-tenant": "ä"}},
        {"headers": {"x-tenant": ["a", "b,c"]}},
        {"headers": {"x-tenant": ["a,b", "c"]}},
        {"headers": "x-tenant"},
        {"headers": ["x-tenant"]},
        {"headers": None},
        {"headers": {"x tenant": "1"}},
        {"request_headers_to_remove": ["host"]},
        {"request_headers_to_remove": [":path"]},
        {"request_headers_to_remove": ["x-forwarded-for"]},
        {"request_headers_to_remove": ["X-Tenant"]},
        {"request_headers_to_remove": ["a b"]},
        {"request_headers_to_remove": "cookie"},
        {"request_headers_to_remove": [1]},
        {"response_headers_to_add": {"transfer-encoding": "chunked"}},
        {"response_headers_to_add": {"x-a": "a\r\nb"}},
        {"query_parameters_to_set": {"q": ["1", "2"]}},
        {"query_parameters_to_set": {"q": 1}},
        {"query_parameters_to_set": {"": "1"}},
        {"query_parameters_to_set": []},
        {"query_parameters_to_remove": [""]},
        {"dynamic_metadata": []},
        {"dynamic_metadata": {"effect": "deny"}},
        {"dynamic_metadata": {"n": 10**400}},
        {"dynamic_metadata": {"n": Decimal("1e400")}},
    ],
)
def test_allows_that_are_errors(keys):
    """What is not exactly as it should be denies: a header that would be dropped could be one that restricts."""
    with pytest.raises(DocumentError):
        allowing(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        *({"http_status": s} for s in (200, 204, 100, 0, 299, 306, 418, 999, "403", 403.5, True, None, Decimal(403))),
        {"body": None},
        {"body": {}},
        {"headers": {":status": "200"}},
        {"headers": {"content-length": "0"}},
        {"headers": {"x": "a\0"}},
        {"dynamic_metadata": {"decision_id": "x"}},
    ],
)
def test_denials_that_are_errors(keys):
    """They deny all the same, with our own answer."""
    with pytest.raises(DocumentError):
        denying(**keys)


POLICY = """package t

doc := {"allowed": input.claims.ok} if input.claims.ok != null

odd := 3

conflict := true if input.parsed_path

conflict := false if input.parsed_path

slow := true if {
	some i in numbers.range(1, 3000)
	some j in numbers.range(1, 3000)
	i + j < 0
}

query := true if input.parsed_query
"""


@pytest.fixture(scope="module")
def policy() -> RegoPolicy:
    return RegoPolicy(json.dumps(plan_with_regopy([Module("t.rego", POLICY)], ["t"])), {})


def decision(policy: RegoPolicy, rule: str) -> RegoDecision:
    return RegoDecision(rego_condition(policy, f"t/{rule}", f"data.t.{rule}", Span("p.yaml", 1, 1)), LISTED)


@pytest.mark.parametrize(
    ("rule", "judgment"),
    [
        ("doc", Judgment(Outcome.UNSATISFIED)),
        ("odd", Judgment(Outcome.ERRORED)),
        ("conflict", Judgment(Outcome.ERRORED)),
        ("slow", Judgment(Outcome.ERRORED, could_not_decide=True)),
        ("query", Judgment(Outcome.ERRORED)),
    ],
)
def test_judgments_of_requests(policy, rule, judgment):
    """Whatever happens is a judgment; what was stopped is told from what failed."""
    facts = make_facts(Request(target="/?q=%"))
    assert decision(policy, rule).judge(facts) == judgment
    assert decision(policy, rule).evaluate(facts) is judgment.outcome


def test_a_request_is_judged_once(policy):
    """The outcome and the reply are of one evaluation, even where the next one would run out of time."""
    facts = make_facts()
    first = decision(policy, "conflict").judge(facts)
    facts.deadline = Deadline(0.0, lambda: 1.0)
    assert decision(policy, "conflict").judge(facts) is first


def test_it_reads_as_its_rule(policy):
    """A condition like any other, to another process too."""
    made = decision(policy, "doc")
    assert (made.text, made.span) == ("data.t.doc", Span("p.yaml", 1, 1))
    assert made.reads == {("claims", "ok")}
    assert repr(made) == "RegoDecision('data.t.doc')"
    sent = pickle.loads(pickle.dumps(made))
    assert sent.identity == made.identity
    assert sent.identity != decision(policy, "odd").identity
    assert sent.headers == LISTED
