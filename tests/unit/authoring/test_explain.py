import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.explain import Explanation, explain
from extauthz.authoring.suite import WrittenRequest
from extauthz.authorizer import Snapshot, authorize, authorize_as, build_snapshot
from extauthz.model.access import Principal
from extauthz.model.decision import Decision, Outcome
from tests.policies import policy_set
from tests.suites import NOW, SHOP, runner


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return runner().snapshot


def explained(snapshot: Snapshot, request: WrittenRequest, caller: Principal | None = None) -> Explanation:
    if caller is None:
        decision = authorize(request, snapshot, NOW)
        assert isinstance(decision, Decision)
    else:
        decision = authorize_as(request, snapshot, NOW, caller)
    return explain(request, decision, snapshot, NOW, caller)


def get(path: str, **fields) -> WrittenRequest:
    return WrittenRequest("GET", path, "Shop.Example:8080", **fields)


def user(**fields) -> Principal:
    return Principal(True, "max", "corp", **fields)


def test_every_step_is_told(snapshot):
    """Canonical path and host, route with what its path binds, caller, roles, bindings, rules, law."""
    found = explained(snapshot, get("/orders/%37"), user(roles=("reader",), claims={"orders": ["7"]}))
    assert (found.path, found.host, found.variables) == ("/orders/7", "shop.example", (("id", "7"),))
    assert found.route is not None
    assert (found.route.name, found.roles, found.refusal) == ("order", ("reader",), "")
    assert [(f.rule.id, str(f.outcome)) for f in found.rules] == [
        ("set.deny.suspended", "unsatisfied"),
        ("order.allow.staff", "unsatisfied"),
        ("order.allow.owner", "satisfied"),
    ]
    (binding,) = found.bindings
    assert (binding.is_subject, binding.outcome) == (True, Outcome.UNSATISFIED)
    assert found.law == "no deny holds, every requirement is met, and an allow holds"
    assert found.misses == ()


def test_failing_binding_leaves_its_role_in_doubt(snapshot):
    """The role is neither held nor known to be absent, and the rule that asks for it cannot be evaluated."""
    found = explained(snapshot, get("/orders"), user(claims={"store": "berlin"}))
    assert (found.roles, found.errored_roles) == ((), ("clerk", "reader"))
    assert found.bindings[0].outcome is Outcome.ERRORED
    assert found.rules[1].outcome is Outcome.ERRORED
    assert found.law.startswith("a rule cannot be evaluated, and an error never widens access")


def test_requirement_is_told_as_it_is_written(snapshot):
    """One that is met holds, one that is not does not, one that fails cannot be evaluated."""

    def network(address: str) -> str:
        found = explained(snapshot, get("/office", source_address=address), user())
        return next(str(f.outcome) for f in found.rules if f.rule.id == "office.require.network")

    assert [network("192.0.2.7"), network("203.0.113.1"), network("")] == ["satisfied", "unsatisfied", "errored"]


@pytest.mark.parametrize(
    ("request_", "refusal", "law"),
    [
        (get("/a/../b"), "the path holds a dot segment", "the request is refused before any rule: path_ambiguous"),
        (
            WrittenRequest("GET", "/", "a,b"),
            "the host is not a single host name",
            "the request is refused before any rule: host_invalid",
        ),
        (
            get("/orders", headers=(("authorization", "Bearer x"),)),
            "not a JWS in compact form",
            "the request is refused before any rule: token_malformed",
        ),
        (get("/orders"), "", "a credential is required, and none is presented"),
    ],
)
def test_what_is_refused_before_rules_shows_none(snapshot, request_, refusal, law):
    """What was never evaluated is not told as if it had been."""
    found = explained(snapshot, request_)
    assert (found.refusal, found.law, found.rules) == (refusal, law, ())


def test_no_route_has_no_rules(snapshot):
    """The routes that nearly own the request are named instead."""
    found = explained(snapshot, WrittenRequest("DELETE", "/orders/7", "shop.example"), user())
    assert (found.route, found.rules) == (None, ())
    assert [other.route.name for other in found.passed_over] == ["order"]


def test_preflight_is_of_the_route_it_asks_about(snapshot):
    """It passes before any rule."""
    headers = (("origin", "https://app.example"), ("access-control-request-method", "PUT"))
    found = explained(snapshot, WrittenRequest("OPTIONS", "/orders/7", "shop.example", headers))
    assert found.route is not None
    assert (found.route.name, found.rules) == ("order", ())
    assert found.law == "a CORS preflight from a listed origin passes without credentials and rules"


def test_public_route_looks_at_nobody(snapshot):
    """Its denies are evaluated without claims."""
    found = explained(snapshot, get("/healthz", headers=(("authorization", "Bearer x"),)))
    assert found.caller is not None
    assert not found.caller.authenticated
    assert [f.rule.id for f in found.rules] == ["set.deny.suspended", "health.public"]


def test_header_that_cannot_be_set_is_told(snapshot):
    """An allow holds, and the request is denied nonetheless."""
    found = explained(snapshot, get("/orders"), Principal(True, "m\u00fcller", "corp", roles=("reader",)))
    assert found.law == (
        "an allow holds, but a header for the upstream cannot be set faithfully: "
        "a header value must be visible ASCII without outer spaces"
    )
    assert found.misses == ()


def test_missing_keys_are_told():
    """Where an issuer's keys were never fetched, the credential is neither good nor bad."""
    remote = build_snapshot(policy_set(SHOP), KeySets(), VerifiedTokens())
    signed = runner()
    token = signed._sign(signed.snapshot.policy_set.providers[0], {"iss": "https://issuer.example", "exp": NOW + 60})
    request = get("/orders", headers=(("authorization", f"Bearer {token}"),))
    decision = authorize(get("/orders"), remote, NOW)
    assert isinstance(decision, Decision)
    assert explain(request, decision, remote, NOW).refusal == "the keys of provider corp are not at hand"


DECIDED = """\
version: 1
routes:
  - name: doc
    path: "/doc/{x}"
    authentication: none
    deny: [{name: frozen, when: "path.x == 'ice'"}]
    decision: {rego: data.t.doc}
"""
MODULE = """package t

doc := input.path.x == "yes" if input.path.x != "endless"

doc if {
	input.path.x == "endless"
	some i in numbers.range(1, 3000)
	some j in numbers.range(1, 3000)
	i + j < 0
}
"""


@pytest.mark.parametrize(
    ("path", "law"),
    [
        ("/doc/yes", "no deny holds, every requirement is met, and an allow holds"),
        ("/doc/no", "the route's own decision is no"),
        ("/doc/ice", "a deny holds, and a deny overrides every allow"),
        ("/doc/endless", "the route's own decision was stopped"),
    ],
)
def test_decisions_in_rego_are_told_as_such(path, law):
    """With the rules that ran, and what stopped them."""
    decided = build_snapshot(policy_set(DECIDED, {"t.rego": MODULE}), KeySets(), VerifiedTokens())
    found = explained(decided, get(path))
    assert found.law.startswith(law)
    (condition,) = found.rules[-1].conditions
    assert condition.rego is not None
    assert bool(condition.rego.problem) is (path == "/doc/endless")
    if not condition.rego.problem:
        assert [run.name for run in condition.rego.runs] == ["data.t.doc"]
