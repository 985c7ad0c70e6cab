"""Policy tests for tests: a small set, and test files read and run against it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.parse import Surroundings, parse_suite
from extauthz.authoring.run import CaseResult, Runner
from extauthz.authoring.suite import Suite
from extauthz.authorizer import build_snapshot
from extauthz.check.capture import message_from_json
from extauthz.check.request import read_check_request
from extauthz.check.response import ANSWERS
from extauthz.cli.throwaway import ThrowAwayIssuer
from extauthz.errors import PolicyError
from extauthz.model.policy import PolicySet
from tests.policies import policy_set

NOW = 1_800_000_000.0
STATUSES = {reason: answering.status for reason, answering in ANSWERS.items()}

SHOP = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: https://issuer.example/jwks.json}
    claims: {roles: roles, groups: groups, scopes: scope}
roles:
  reader: {permissions: ["orders:read"]}
  clerk: {inherits: [reader], permissions: ["orders:write"]}
bindings:
  - {role: clerk, provider: corp, when: "has(claims.store) && claims.store == path.store"}
trust_domains: [cluster.local]
defaults: {host: shop.example, cors: {origins: ["https://app.example"]}}
deny:
  - {name: suspended, when: "has(claims.suspended) && claims.suspended != false"}
upstream_headers: {set: {x-user: "{principal.subject}"}}
routes:
  - {name: health, path: /healthz, methods: [GET], public: true}
  - {name: list, path: /orders, methods: [GET], allow: [{name: staff, permission: "orders:read"}]}
  - name: order
    path: /orders/{id}
    methods: [GET, PUT]
    allow:
      - {name: staff, role: clerk}
      - {name: owner, when: "request.method == 'GET' && has(claims.orders) && path.id in claims.orders"}
  - {name: stock, path: "/stores/{store}/stock", allow: [{name: keeper, role: clerk}]}
  - name: office
    path: /office
    require: [{name: network, direct_remote_ip: 192.0.2.0/24}]
    allow: [{name: scoped, scope: [office.read, office.write]}, {name: friends, group: friends}]
  - {name: batch, path: /batch, authentication: none, allow: [{workload: "spiffe://cluster.local/ns/batch/**"}]}
  - {name: body, path: /body, methods: [POST], allow: [{name: small, when: "body.total <= 500.0"}]}
"""


@cache
def shop() -> PolicySet:
    """The set above."""
    return policy_set(SHOP)


def surroundings(tested: PolicySet | None = None, files: Mapping[str, bytes] | None = None) -> Surroundings:
    """What test files are read by; files that they name come from `files`."""

    def read_file(path: str) -> bytes:
        content = (files or {}).get(path)
        if content is None:
            raise FileNotFoundError(2, "No such file or directory")
        return content

    return Surroundings(
        policy_set=tested or shop(),
        statuses=STATUSES,
        read_file=read_file,
        read_capture=lambda content: read_check_request(message_from_json(content)),
        now=NOW,
    )


def suite(text: str, tested: PolicySet | None = None, files: Mapping[str, bytes] | None = None) -> Suite:
    """A test file, read."""
    return parse_suite("shop_test.yaml", text.encode(), surroundings(tested, files))


def findings(text: str, tested: PolicySet | None = None, files: Mapping[str, bytes] | None = None) -> list[str]:
    """`line:column: code message (hint)` of everything that is wrong with a test file."""
    try:
        suite(text, tested, files)
    except PolicyError as error:
        return [
            f"{d.span.line}:{d.span.column}: {d.code} {d.message}" + (f" ({d.hint})" if d.hint else "")
            for d in error.diagnostics
        ]
    return []


def runner(tested: PolicySet | None = None) -> Runner:
    """Runs tests against a set that trusts the issuer of the run."""
    issuer = ThrowAwayIssuer(tested or shop())
    return Runner(build_snapshot(issuer.trusted, KeySets(), VerifiedTokens()), STATUSES, issuer.sign)


def results(text: str, tested: PolicySet | None = None, files: Mapping[str, bytes] | None = None) -> list[CaseResult]:
    """What came of every test of a file."""
    run = runner(tested).run
    return [run(case) for case in suite(text, tested, files).cases]
