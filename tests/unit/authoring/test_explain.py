import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.explain import Explanation, explain
from extauthz.authorizer import Snapshot, authorize_as, build_snapshot
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.cli.sample import Sample, check_request_of
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Effect, Outcome
from extauthz.model.policy import RuleKind

NOW = 1_769_860_800.0
POLICY = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: https://issuer.example/jwks.json}
trust_domains: [cluster.local]
roles:
  reader: {permissions: ["orders:read"]}
  admin: {inherits: [reader], permissions: ["*"]}
bindings:
  - {role: admin, provider: corp, when: "claims.level > 3.0"}
deny:
  - {name: late, when: "request.time > timestamp('2100-01-01T00:00:00Z')"}
routes:
  - name: order
    path: /orders/{id}
    require: [{name: office, direct_remote_ip: [192.0.2.0/24, 198.51.100.0/24]}]
    allow:
      - {name: staff, permission: "orders:read"}
      - name: owner
        authenticated: true
        when: |
          path.id
            == principal.subject
      - {name: many, role: [reader, admin], scope: [a, b], group: g, subject: s, provider: corp, remote_ip: 192.0.2.1}
  - {name: open, path: /open, authentication: optional, allow: [{anyone: true}]}
  - {name: batch, path: /batch, authentication: none, allow: [{workload: "spiffe://cluster.local/ns/batch/**"}]}
"""


@pytest.fixture(scope="module")
def snapshot():
    sources = [SourceText("p.yaml", POLICY.encode())]
    parsed = parse_policy_set(sources, read_file=lambda path: b"")
    return build_snapshot(parsed.policy_set, KeySets(), VerifiedTokens())


def request(
    path: str, *, source: str | None = "192.0.2.7", host: str = "h", token: str | None = None
) -> CheckedRequest:
    headers = [("authorization", f"Bearer {token}")] if token else []
    return read_check_request(check_request_of(Sample("GET", path, host, headers, source, None), NOW))


def caller(**claims: object) -> Principal:
    return Principal(True, "7", "corp", claims=claims)  # type: ignore[arg-type]


def explained(snapshot: Snapshot, path: str, principal: Principal, *, source: str | None = "192.0.2.7") -> Explanation:
    explanation = explain(request(path, source=source), snapshot, NOW, principal)
    assert explanation is not None
    return explanation


def outcomes(explanation: Explanation) -> dict[str, str]:
    return {finding.rule.id: str(finding.outcome) for finding in explanation.rules}


def test_every_rule_is_evaluated(snapshot):
    """Denies, requires and allows, in this order, whether or not one of them had decided already."""
    explanation = explained(snapshot, "/orders/7", caller(level=1.0))
    assert explanation.route.name == "order"
    assert explanation.roles == ()
    assert outcomes(explanation) == {
        "set.deny.late": "unsatisfied",
        "order.require.office": "satisfied",
        "order.allow.staff": "unsatisfied",
        "order.allow.owner": "satisfied",
        "order.allow.many": "unsatisfied",
    }


def test_conditions_read_as_written(snapshot):
    """Each condition is its key and values; text over several lines is one."""
    explanation = explained(snapshot, "/orders/7", caller(level=1.0))
    texts = {f.rule.id.rsplit(".", 1)[1]: [c.text for c in f.conditions] for f in explanation.rules}
    assert texts == {
        "late": ["when: request.time > timestamp('2100-01-01T00:00:00Z')"],
        "office": ["direct_remote_ip: 192.0.2.0/24 | 198.51.100.0/24"],
        "staff": ["permission: orders:read (of role admin | reader)"],
        "owner": ["authenticated: true", "when: path.id == principal.subject"],
        "many": [
            "role: admin | reader",
            "scope: a | b",
            "group: g",
            "subject: s",
            "provider: corp",
            "remote_ip: 192.0.2.1/32",
        ],
    }


def test_roles_are_the_callers_there(snapshot):
    """Bound and inherited roles are held; a binding that fails leaves its roles open."""
    assert explained(snapshot, "/orders/7", caller(level=4.0)).roles == ("admin", "reader")
    failing = explained(snapshot, "/orders/7", caller())
    assert (failing.roles, failing.errored_roles) == ((), ("admin", "reader"))
    assert outcomes(failing)["order.allow.staff"] == "errored"


def test_requirement_is_told_as_it_is_written(snapshot):
    """A `require` that is met holds, one that is not does not, one that fails cannot be evaluated."""

    def office(source: str | None) -> str:
        return outcomes(explained(snapshot, "/orders/7", caller(level=1.0), source=source))["order.require.office"]

    assert [office("192.0.2.7"), office("203.0.113.1"), office(None)] == ["satisfied", "unsatisfied", "errored"]


@pytest.mark.parametrize("path", ["/orders/7", "/orders/8", "/open", "/batch"])
@pytest.mark.parametrize("level", [1.0, 4.0, None])
@pytest.mark.parametrize("source", ["192.0.2.7", "203.0.113.1", None])
def test_explanation_agrees_with_the_decision(snapshot, path, level, source):
    """What decided holds, or could not be evaluated; with no deny, an allow that holds allows."""
    principal = caller() if level is None else caller(level=level)
    asked = request(path, source=source)
    decision = authorize_as(asked, snapshot, NOW, principal)
    explanation = explain(asked, snapshot, NOW, principal)
    assert explanation is not None
    denying, allowing = [], []
    for finding in explanation.rules:
        if finding.rule.kind is RuleKind.ALLOW:
            allowing += [finding.rule.id] if finding.outcome is Outcome.SATISFIED else []
        else:
            harmless = Outcome.SATISFIED if finding.rule.kind is RuleKind.REQUIRE else Outcome.UNSATISFIED
            denying += [] if finding.outcome is harmless else [finding.rule.id]
    assert (decision.effect is Effect.ALLOW) == (bool(allowing) and not denying)
    assert list(decision.policies) == (denying or allowing)


def test_nobody_is_explained_on_open_routes(snapshot):
    """Where authentication is optional or none, rules are reached without a caller."""
    assert outcomes(explained(snapshot, "/open", ANONYMOUS))["open.allow.0"] == "satisfied"
    batch = explained(snapshot, "/batch", caller(level=4.0))
    assert [c.text for f in batch.rules for c in f.conditions][-1] == "workload: spiffe://cluster.local/ns/batch/**"
    assert batch.roles == ()


@pytest.mark.parametrize(
    "asked",
    [
        request("/nowhere"),
        request("/../orders/7"),
        request("/orders/7", host="a,b"),
        request("/orders/7"),
        request("/orders/7", token="not.a.token"),
    ],
)
def test_requests_that_reach_no_rule(snapshot, asked):
    """No route, an ambiguous path or host, no credential or a broken one: there is nothing to explain."""
    assert explain(asked, snapshot, NOW) is None
