import json
import time
from pathlib import Path

import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from extauthz.cli.sample import Sample, check_request_of
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.sources.policy_files import load

POLICY = """\
version: 1
name: shop
providers:
  corp:
    issuer: ISSUER
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: ISSUER/jwks.json}
    claims: {roles: roles, scopes: scope}
    may_assert: all
  other:
    issuer: https://other.example
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: https://other.example/jwks.json}
    may_assert: all
roles: {reader: {permissions: ["orders:read"]}}
defaults: {host: shop.example, providers: [corp]}
routes:
  - {name: health, path: /healthz, public: true}
  - name: orders
    path: /orders
    allow: [{name: staff, role: reader}, {name: scoped, scope: orders.read}]
    deny: [{name: frozen, when: "request.headers['x-freeze'] == 'on'"}]
    cors: {origins: ["https://app.example"]}
  - {name: office, path: /office, allow: [{direct_remote_ip: [192.0.2.0/24]}], authentication: none}
  - {name: batch, path: /batch, allow: [{workload: "spiffe://cluster.local/batch"}], authentication: none}
trust_domains: [cluster.local]
upstream_headers: {set: {x-user: "{principal.subject}"}}
"""


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """The set above in the working folder, its issuer out of reach."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY.replace("ISSUER", "https://127.0.0.1:1"))
    return "policy.yaml"


@pytest.fixture
def issuer(policy):
    """The same set with an issuer that answers."""
    with DevelopmentIssuer() as issuer:
        Path(policy).write_text(POLICY.replace("ISSUER/jwks.json", issuer.jwks_uri).replace("ISSUER", issuer.url))
        yield issuer


def decide(capsys, *arguments: str) -> tuple[int, dict[str, object]]:
    """The exit code, and the decision as JSON."""
    code = run(["decide", "policy.yaml", *arguments, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: str, code: int = EXIT_WRONG_INPUT) -> str:
    """The one line of an error."""
    assert run(["decide", "policy.yaml", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return str(captured.err).strip()


def issued(issuer: DevelopmentIssuer, **claims: str) -> str:
    """A token that is valid now, since the command reads the clock."""
    return issuer.mint("alice", now=time.time(), audience="shop", claims=claims)  # noqa: TID251 - as said


UNFROZEN = ("--header", "x-freeze: off")


def test_public_route_is_allowed(policy, capsys):
    """Exit 0, and everything there is to know, with the place of each rule."""
    code, decision = decide(capsys, "--path", "/healthz?x=1", "--at", "2026-01-31T12:00:00Z")
    assert code == 0
    assert decision == {
        "effect": "allow",
        "status": 200,
        "reason": "allowed",
        "route": "health",
        "policies": [{"id": "health.public", "file": "policy.yaml", "line": 20, "column": 5}],
        "errors": [],
        "provider": None,
        "subject": None,
        "credentials_verified": True,
        "request": {"method": "GET", "host": "shop.example", "path": "/healthz?x=1"},
        "at": "2026-01-31T12:00:00Z",
        "revision": load(["policy.yaml"]).parsed.policy_set.revision,
        "upstream_headers": {"set": {}, "remove": ["x_user", "x-user"]},
        "response": None,
    }


def test_denial_shows_what_the_client_sees(policy, capsys):
    """Exit 2, with status, challenge and body."""
    code, decision = decide(capsys, "--path", "/orders")
    assert code == EXIT_NEGATIVE
    assert (decision["status"], decision["reason"], decision["route"]) == (401, "credential_missing", "orders")
    response = decision["response"]
    assert isinstance(response, dict)
    assert response["status"] == 401
    assert response["headers"]["www-authenticate"] == "Bearer"
    assert json.loads(response["body"])["title"] == "Unauthorized"


def test_claims_stand_for_a_token(policy, capsys):
    """`--claims` is a principal that nobody verified, and says so; the rules decide as in service."""
    claims = json.dumps({"iss": "https://127.0.0.1:1", "sub": "alice", "roles": ["reader"]})
    code, decision = decide(capsys, "--path", "/orders", "--claims", claims, *UNFROZEN)
    assert code == 0
    assert decision["policies"] == [{"id": "orders.allow.staff", "file": "policy.yaml", "line": 23, "column": 13}]
    assert (decision["subject"], decision["credentials_verified"]) == ("alice", False)
    assert decision["upstream_headers"] == {"set": {"x-user": "alice"}, "remove": ["x_user"]}


def test_rules_that_cannot_be_evaluated_are_named(policy, capsys):
    """A deny that errors denies, and is listed on both sides."""
    claims = json.dumps({"iss": "https://127.0.0.1:1", "sub": "alice", "roles": ["reader"]})
    code, decision = decide(capsys, "--path", "/orders", "--claims", claims)
    assert code == EXIT_NEGATIVE
    assert decision["reason"] == "evaluation_error"
    assert [error["id"] for error in decision["errors"]] == ["orders.deny.frozen"]  # type: ignore[attr-defined]


def test_preflight_has_a_place(policy, capsys):
    """A preflight passes by the route's `cors`, which stands where the route stands."""
    arguments = ("--header", "origin: https://app.example", "--header", "access-control-request-method: GET")
    code, decision = decide(capsys, "--method", "OPTIONS", "--path", "/orders", *arguments)
    assert code == 0
    assert decision["policies"] == [{"id": "orders.cors", "file": "policy.yaml", "line": 21, "column": 5}]


def test_peer_flags_reach_the_rules(policy, capsys):
    """Address and workload of the connection are what rules on them read."""
    assert decide(capsys, "--path", "/office", "--source", "192.0.2.7")[0] == 0
    assert decide(capsys, "--path", "/office", "--source", "198.51.100.7")[0] == EXIT_NEGATIVE
    assert decide(capsys, "--path", "/batch", "--workload", "spiffe://cluster.local/batch")[0] == 0
    assert decide(capsys, "--path", "/batch", "--workload", "spiffe://other/batch")[0] == EXIT_NEGATIVE


def test_token_is_verified_with_fetched_keys(issuer, capsys):
    """A remote key set is fetched on demand; the same token is expired in another century, by --at."""
    token = issued(issuer, scope="orders.read")
    arguments = ("--path", "/orders", "--token", token, *UNFROZEN)
    code, decision = decide(capsys, *arguments)
    assert (code, decision["subject"]) == (0, "alice")
    code, decision = decide(capsys, *arguments, "--at", "2100-01-01T00:00:00Z")
    assert (code, decision["reason"]) == (EXIT_NEGATIVE, "token_expired")


def test_foreign_key_is_a_denial(issuer, capsys):
    """A key that the issuer does not publish is a 401 after one fetch, not a wait."""
    token = issued(issuer)
    issuer.rotate(keep_published=False)
    code, decision = decide(capsys, "--path", "/orders", "--token", token, *UNFROZEN)
    assert (code, decision["reason"]) == (EXIT_NEGATIVE, "key_unknown")


def test_unreachable_issuer_is_the_environment_s_fault(policy, issuer, capsys):
    """No answer about the policy can be given without keys: exit 1, naming the provider."""
    token = issued(issuer)
    Path(policy).write_text(Path(policy).read_text().replace(issuer.jwks_uri, "http://127.0.0.1:1/jwks.json"))
    message = refused(capsys, "--path", "/orders", "--token", token, code=EXIT_ENVIRONMENT)
    assert message.startswith("extauthz: the keys of provider corp cannot be fetched: ")
    assert token not in message


def test_slow_issuer_is_not_waited_for(policy, issuer, capsys, monkeypatch):
    """Five seconds are the limit; here a hundredth of one."""
    monkeypatch.setattr("extauthz.cli.question._FETCH_SECONDS", 0.01)

    async def never(self: object, need: object) -> None:
        import asyncio

        await asyncio.Event().wait()

    monkeypatch.setattr("extauthz.sources.jwks.KeySetFetcher.fetch", never)
    token = issued(issuer)
    message = refused(capsys, "--path", "/orders", "--token", token, code=EXIT_ENVIRONMENT)
    assert message == "extauthz: the keys of provider corp did not come within 0.01 s"


def test_keys_that_stay_missing_end_the_asking(policy, issuer, capsys, monkeypatch):
    """Should a fetch leave the need as it was, it is not repeated for ever."""

    async def nothing(self: object, need: object) -> None:
        return

    monkeypatch.setattr("extauthz.sources.jwks.KeySetFetcher.fetch", nothing)
    token = issued(issuer)
    message = refused(capsys, "--path", "/orders", "--token", token, code=EXIT_ENVIRONMENT)
    assert message == "extauthz: the keys of provider corp were fetched and are not usable"


def test_captured_request_is_decided(policy, capsys):
    """A serialised CheckRequest and its JSON form are asked about alike."""
    Path("capture.bin").write_bytes(check_request_of(Sample("GET", "/healthz", "shop.example", (), None, None), 0.0))
    Path("capture.json").write_text(
        json.dumps({"attributes": {"request": {"http": {"method": "GET", "path": "/healthz", "host": "shop.example"}}}})
    )
    for file in ("capture.bin", "capture.json"):
        code, decision = decide(capsys, "--request", file)
        assert (code, decision["route"]) == (0, "health")


def test_text_names_rule_and_place(policy, capsys):
    """The words a person looks for: effect, reason, route, rule, file and line."""
    assert run(["decide", "policy.yaml", "--path", "/healthz"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ALLOW 200 allowed\n")
    assert "health.public  policy.yaml:20:5" in out
    assert "GET http://shop.example/healthz" in out


def test_text_says_that_claims_were_not_verified(policy, capsys):
    """Nobody takes a trial for a proof."""
    claims = json.dumps({"iss": "https://127.0.0.1:1", "sub": "\x1b[2J", "roles": ["reader"]})
    assert run(["decide", "policy.yaml", "--path", "/orders", "--claims", claims, *UNFROZEN]) == EXIT_NEGATIVE
    out = capsys.readouterr().out
    assert out.startswith("claims are taken as given: no token was verified\nDENY 403 upstream_header_invalid\n")
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which request? Give --path, or a captured one by --request"),
        (("--request", "x", "--path", "/"), "--path and --request exclude each other: the capture says it all"),
        (("--path", "/", "--token", "t", "--claims", "{}"), "--claims and --token exclude each other: who is it?"),
        (("--request", "missing.json"), "--request missing.json: No such file or directory"),
        (("--request", "policy.yaml"), "--request policy.yaml: not a serialised CheckRequest"),
        (("--path", "/", "--at", "noon"), "--at 'noon': write it as 2026-01-31T12:00:00Z, or as seconds since the"),
        (("--path", "/", "--header", "x"), "--header: write it as 'name: value'"),
        (("--path", "/", "--claims", "{"), "--claims: not JSON"),
        (("--path", "/", "--claims", '{"a":1,"a":2}'), "--claims: a name is given twice"),
        (("--path", "/", "--claims", '{"sub":"a"}'), "--claims: set iss to an issuer of the policy: "),
        (("--path", "/", "--claims", '{"iss":"https://127.0.0.1:1"}'), "--claims: claim sub must be one string, "),
        (
            ("--path", "/orders", "--claims", '{"iss":"https://other.example","sub":"a"}'),
            "--claims: route orders does not accept provider other (it accepts corp); in service the answer would be",
        ),
    ],
)
def test_wrong_input_is_one_line(policy, capsys, arguments, message):
    """Exit 3, and what to do."""
    assert refused(capsys, *arguments).startswith(f"extauthz: {message}")


def test_explain_shows_the_rules(policy, issuer, capsys):
    """With --explain every rule is told, for claims and tokens alike; a denial before any rule has none."""
    claims = json.dumps({"iss": issuer.url, "sub": "alice", "scope": "orders.read"})
    for who in (("--claims", claims), ("--token", issued(issuer, scope="orders.read"))):
        _, decision = decide(capsys, "--path", "/orders", *who, *UNFROZEN, "--explain")
        explanation = decision["explanation"]
        assert isinstance(explanation, dict)
        assert {rule["id"]: rule["outcome"] for rule in explanation["rules"]} == {
            "orders.deny.frozen": "unsatisfied",
            "orders.allow.staff": "unsatisfied",
            "orders.allow.scoped": "satisfied",
        }
    assert decide(capsys, "--path", "/orders", "--explain")[1]["explanation"]["rules"] == []  # type: ignore[index]
    assert run(["decide", policy, "--path", "/healthz", "--explain"]) == 0
    assert "allow    health.public holds  policy.yaml:20:5" in capsys.readouterr().out


def test_internal_errors_are_not_denials(policy, monkeypatch):
    """In service a defect is answered 503; here it is shown."""
    monkeypatch.setattr("extauthz.check.answer.authorize", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(["decide", policy, "--path", "/healthz"])


def test_broken_policy_is_printed_as_validate_prints_it(policy, capsys):
    """Every command shows diagnostics alike, with what would reach the terminal as an instruction made visible."""
    Path(policy).write_text('version: 1\nroutes: [{path: "/\\u001b[31m", public: yes}]\n')
    assert run(["decide", policy, "--path", "/"]) == EXIT_WRONG_INPUT
    of_decide = capsys.readouterr().err
    run(["policy", "validate", policy])
    of_validate = capsys.readouterr().err
    assert of_decide.splitlines() == of_validate.splitlines()[:-1]
    assert "\x1b" not in of_decide
