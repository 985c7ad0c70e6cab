import asyncio
import json
from dataclasses import replace

import jsonschema
import jwt
import pytest
from envoy.service.auth.v3 import external_auth_pb2

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.record import KeyHolder, RefusedCredential, UnseenCredential, Vouched, read_record, record_line
from extauthz.authoring.record_schema import record_schema
from extauthz.authoring.replay import Replay
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answer, Answerer
from extauthz.model.decision import Effect, Reason
from extauthz.model.provider import SharedSecret
from extauthz.telemetry import recorder as recorder_module
from extauthz.telemetry.recorder import Recorder
from tests.policies import policy_set

NOW = 1_800_000_000
SECRET = b"s" * 32
SET = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: https://issuer.example/jwks.json}
    tokens: [{header: authorization, scheme: Bearer}, {cookie: session}]
    claims: {roles: roles}
    may_assert: all
  machines: {api_keys: {file: keys.yaml}, may_assert: all}
roles: {reader: {permissions: [read]}}
routes:
  - {name: open, path: /open, public: true}
  - {name: orders, path: /orders, methods: [GET], allow: [{name: reader, role: reader}]}
  - {name: body, path: /body, allow: [{name: small, when: "body.total <= 5.0"}]}
"""
KEYS = "- {sha256: 53f2d1c1b32a9d0d6d2b6f7b7ee4f0e0d9f5b7c7a6f5e4d3c2b1a09f8e7d6c5b, subject: robot, roles: [reader]}\n"


class Memory:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def close(self):
        pass


def fail(error):
    raise error


@pytest.fixture(scope="module")
def snapshot():
    """The set, whose issuer signs with a secret that tests know."""
    import hashlib

    keys = KEYS.replace(KEYS[11:75], hashlib.sha256(b"robots-key").hexdigest())
    parsed = policy_set(SET, {"keys.yaml": keys})
    corp = replace(parsed.providers[0], algorithms=("HS256",), keys=SharedSecret(SECRET))
    return build_snapshot(replace(parsed, providers=(corp,)), KeySets(), VerifiedTokens())


def token(**claims):
    payload = {"iss": "https://issuer.example", "aud": "shop", "sub": "alice", "exp": NOW + 60, "roles": ["reader"]}
    return jwt.encode({**payload, **claims}, SECRET, "HS256")


def message(path="/orders", method="GET", body=b"", **headers):
    check_request = external_auth_pb2.CheckRequest()
    http = check_request.attributes.request.http
    http.method, http.path, http.host, http.scheme, http.raw_body = method, path, "shop.example", "https", body
    for name, value in headers.items():
        entry = http.header_map.headers.add()
        entry.key, entry.raw_value = name.replace("_", "-"), value.encode()
    check_request.attributes.source.address.socket_address.address = "192.0.2.1"
    check_request.attributes.source.principal = "spiffe://cluster.local/ns/a/sa/b"
    check_request.attributes.context_extensions["tier"] = "gold"
    return check_request.SerializeToString()


def answer(snapshot, *args, **kwargs) -> Answer:
    found = Answerer(snapshot).answer(message(*args, **kwargs), NOW)
    assert isinstance(found, Answer)
    return found


def recorded(snapshot, *answers):
    """What a recorder writes of these answers: the bytes, and the records."""
    sink = Memory()
    recorder = Recorder(sink, clock=lambda: NOW + 0.5, on_failure=fail, on_unwritable=fail)

    async def main():
        task = asyncio.ensure_future(recorder.run())
        await asyncio.sleep(0)
        for each in answers:
            recorder.record(each, snapshot)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert recorder.dropped == 0
    return sink.data, [read_record(line.decode()) for line in sink.data.splitlines()]


def test_a_record_is_the_request_with_claims_in_place_of_the_token(snapshot):
    """Whole, with what was decided; it fits the published schema."""
    given = answer(snapshot, "/orders?page=2", authorization=f"Bearer {token(store='paris')}", accept="x")
    data, (record,) = recorded(snapshot, given)
    jsonschema.Draft202012Validator(record_schema()).validate(json.loads(data))
    request = record.request
    assert (request.method, request.target, request.host, request.scheme) == (
        "GET", "/orders?page=2", "shop.example", "https",
    )  # fmt: skip
    assert request.headers == (("authorization", "-redacted-"), ("accept", "x"))
    assert (request.source_address, request.peer_identity) == ("192.0.2.1", "spiffe://cluster.local/ns/a/sa/b")
    assert request.context_extensions == {"tier": "gold"}
    assert isinstance(record.caller, Vouched)
    assert record.caller.provider == "corp"
    assert (record.caller.claims["sub"], record.caller.claims["store"]) == ("alice", "paris")
    assert (record.decision.effect, record.decision.route) == (Effect.ALLOW, "orders")
    assert record.decision.policies == ("orders.allow.reader",)
    assert (record.decision_id, record.at, record.revision) == (given.decision_id, NOW + 0.5, snapshot.revision)
    assert record.redacted == ("header:authorization",)


@pytest.mark.parametrize(
    ("path", "headers", "caller"),
    [
        ("/orders", {}, None),
        ("/orders", {"x_api_key": "robots-key"}, KeyHolder("machines", "robot")),
        ("/orders", {"x_api_key": "guessed"}, RefusedCredential(Reason.API_KEY_UNKNOWN)),
        ("/orders", {"authorization": "Bearer x.y.z"}, RefusedCredential(Reason.TOKEN_MALFORMED)),
        ("/orders", {"authorization": "Bearer a", "x_api_key": "b"}, RefusedCredential(Reason.CREDENTIALS_AMBIGUOUS)),
        ("/orders", {"cookie": "session=x.y.z; theme=dark"}, RefusedCredential(Reason.TOKEN_MALFORMED)),
        ("/orders", {"authorization": "Basic dXNlcjpwYXNz"}, None),
        ("/open", {}, None),
        ("/open", {"authorization": "Bearer x.y.z"}, UnseenCredential()),
        ("/../x", {"cookie": "a=b"}, UnseenCredential()),
    ],
)
def test_who_sent_it(snapshot, path, headers, caller):
    """As it was found; a credential that is refused, or not looked at, leaves nothing but that."""
    _, (record,) = recorded(snapshot, answer(snapshot, path, **headers))
    assert record.caller == caller


def test_no_secret_is_written(snapshot):
    """Token, cookie, API key, password: wherever they stand in a request."""
    secrets = [token(), token(aud="elsewhere"), "robots-key", "hunter2", "s3ss10n"]
    answers = [
        answer(snapshot, f"/orders?access_token={secrets[0]}&password=hunter2", authorization=f"Bearer {secrets[0]}"),
        answer(snapshot, f"/orders/{secrets[0]}", authorization=f"Bearer {secrets[1]}", x_note=secrets[0]),
        answer(snapshot, "/open", cookie="session=s3ss10n", x_api_key="robots-key", authorization=secrets[0]),
        answer(snapshot, "/orders", x_api_key="robots-key", proxy_authorization="Basic hunter2"),
        answer(
            snapshot,
            "/body",
            "POST",
            json.dumps({"total": 1, "password": "hunter2", "note": secrets[0]}).encode(),
            authorization=f"Bearer {token(inner=secrets[1])}",
            content_type="application/json",
        ),
        answer(snapshot, "/body", "POST", b"password=hunter2", cookie=f"session={secrets[0]}"),
    ]
    data, records = recorded(snapshot, *answers)
    assert len(records) == len(answers)
    for secret in (*secrets, *(part for each in secrets[:2] for part in each.split(".")[1:])):
        assert secret.encode() not in data


def test_replaying_what_was_recorded_changes_nothing(snapshot):
    """Every kind of caller and outcome, the body included."""
    good = f"Bearer {token()}"
    answers = [
        answer(snapshot, "/orders", authorization=good),
        answer(snapshot, "/orders", "PUT", authorization=good),
        answer(snapshot, "/orders", authorization=f"Bearer {token(exp=NOW - 999)}"),
        answer(snapshot, "/orders", x_api_key="robots-key"),
        answer(snapshot, "/orders"),
        answer(snapshot, "/open", authorization=good),
        answer(snapshot, "/%2e", authorization=good),
        answer(snapshot, "/body", "POST", b'{"total": 4}', authorization=good, content_type="application/json"),
        answer(snapshot, "/body", "POST", b'{"total": 6}', authorization=good, content_type="application/json"),
    ]
    _, records = recorded(snapshot, *answers)
    again = Replay(snapshot)
    for number, record in enumerate(records):
        again.add(number, record)
    assert (again.records, again.groups) == (len(answers), [])


def test_what_the_set_did_not_decide_is_not_recorded(snapshot):
    """Requests that cannot be read, and those that there was no time or set for."""
    answerer = Answerer(snapshot)
    malformed = answerer.answer(b"\xff", NOW)
    assert isinstance(malformed, Answer)
    late = answerer.could_not_decide(message(), Reason.DEADLINE_EXCEEDED)
    assert recorded(snapshot, malformed, late) == (b"", [])
    assert recorded(None, answer(snapshot)) == (b"", [])


def test_a_request_that_cannot_be_recorded_does_not_end_the_recording(snapshot, monkeypatch):
    """It is counted and told."""
    real = record_line
    monkeypatch.setattr(
        recorder_module, "record_line", lambda record: 1 / 0 if record.request.method == "PUT" else real(record)
    )
    told: list[Exception] = []
    sink = Memory()
    recorder = Recorder(sink, clock=lambda: NOW, on_failure=fail, on_unwritable=told.append)

    async def main():
        task = asyncio.ensure_future(recorder.run())
        await asyncio.sleep(0)
        for method in ("PUT", "GET"):
            recorder.record(answer(snapshot, "/orders", method), snapshot)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert (recorder.dropped, sink.data.count(b"\n")) == (1, 1)
