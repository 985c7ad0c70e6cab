import asyncio
import datetime as dt
import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from extauthz.errors import ConfigurationError
from extauthz.model.access import Principal
from extauthz.model.decision import Reason
from extauthz.model.engine import OpaEngine
from extauthz.sources.circuit import FAILURES_TO_OPEN, FIRST_PAUSE_SECONDS
from extauthz.sources.opa import MAXIMUM_REPLY_BYTES, TOKEN_READ_SECONDS, RemoteOpa, check_engine
from tests.harness.certificates import CertificateAuthority
from tests.harness.http_server import certificate
from tests.harness.opa_server import opa_server
from tests.harness.scripted_http import ScriptedServer, replies
from tests.strategies import Request, make_facts

RECORDED = json.loads(Path(__file__).with_name("opa_exchanges.json").read_text())
EXPECTED = {
    "allowed": Reason.ALLOWED,
    "denied": Reason.DENIED_BY_ENGINE,
    "undefined": Reason.DENIED_BY_ENGINE,
    "no such rule": Reason.DENIED_BY_ENGINE,
    "built-in error": Reason.EVALUATION_ERROR,
    "conflict": Reason.EVALUATION_ERROR,
    "number": Reason.EVALUATION_ERROR,
    "null": Reason.EVALUATION_ERROR,
    "object": Reason.ALLOWED,
}
FACTS = make_facts()


class Clock:
    """Seconds, by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Told:
    """What the operator would read."""

    def __init__(self):
        self.troubles = []
        self.recoveries = 0

    def recovered(self):
        self.recoveries += 1


def remote(port, path="shop/allow", *, told=None, clock=None, **fields):
    told = told or Told()
    engine = OpaEngine(f"http://127.0.0.1:{port}", path, **{"timeout_seconds": 5.0, **fields})
    return RemoteOpa(engine, on_trouble=told.troubles.append, on_recovery=told.recovered, monotonic=clock or Clock())


def asking(answer, use, **options):
    """Have `use(opa, server)` run against a server that answers like this."""

    async def main():
        async with ScriptedServer(answer).serving() as server:
            opa = remote(server.port, **options)
            try:
                return await asyncio.wait_for(use(opa, server), 20)
            finally:
                opa.close()

    return asyncio.run(main())


async def ask(opa, facts=FACTS, seconds=5.0):
    return (await opa.ask(facts, seconds)).reason


# --- What is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", RECORDED["exchanges"], ids=lambda exchange: exchange["name"])
def test_what_opa_says_is_understood(exchange):
    """Every kind of answer, as a real one gave it."""

    async def use(opa, server):
        assert await ask(opa, make_facts(id=exchange["id"])) is EXPECTED[exchange["name"]]
        (asked,) = server.asked
        assert asked.target == f"/v1/data/{exchange['path']}?strict-builtin-errors=true"

    asking(replies(exchange["status"], exchange["body"].encode()), use, path=exchange["path"])


@pytest.mark.opa
def test_a_real_opa_still_says_so():
    """What was recorded, and what is made of it."""
    with opa_server() as server:
        server.put_policy("shop.rego", RECORDED["policy"])

        async def main():
            for exchange in RECORDED["exchanges"]:
                body = json.dumps({"input": {"path": {"id": exchange["id"]}}}).encode()
                said = server.call("POST", f"/v1/data/{exchange['path']}?strict-builtin-errors=true", body)
                assert (exchange["name"], *said) == (exchange["name"], exchange["status"], exchange["body"].encode())
                opa = remote(server.port, exchange["path"])
                assert await ask(opa, make_facts(id=exchange["id"])) is EXPECTED[exchange["name"]], exchange["name"]
                opa.close()

        asyncio.run(main())


def test_the_input_is_that_of_rego_in_a_policy_set():
    """What the proxy saw, and the caller besides."""
    request = Request(method="POST", target="/orders/7?a=1", headers={"x-a": ["1", "2"]})
    principal = Principal(authenticated=True, subject="alice", provider="corp", claims={"tenant": "acme"})

    async def use(opa, server):
        await ask(opa, make_facts(request, principal, order="7"))
        (asked,) = server.asked
        assert asked.header("content-type") == "application/json"
        content = json.loads(asked.body)["input"]
        http = content["attributes"]["request"]["http"]
        assert (http["method"], http["path"], http["headers"]["x-a"]) == ("POST", "/orders/7?a=1", "1,2")
        assert (content["parsed_path"], content["parsed_query"]) == (["orders", "7"], {"a": ["1"]})
        assert (content["principal"]["subject"], content["claims"], content["path"]) == (
            "alice",
            {"tenant": "acme"},
            {"order": "7"},
        )

    asking(replies(), use)


def test_numbers_of_a_body_keep_their_digits():
    """A double would lose them, and with them what a policy compares."""
    body = b'{"amount": 1.00000000000000000001, "id": 123456789012345678901234567890}'
    request = Request(headers={"content-type": ["application/json"]}, body=body)

    async def use(opa, server):
        await ask(opa, make_facts(request))
        assert b'"amount":1.00000000000000000001' in server.asked[0].body
        assert b'"id":123456789012345678901234567890' in server.asked[0].body

    asking(replies(), use)


def test_a_request_that_makes_no_input_is_an_evaluation_error():
    """And is not asked about: a malformed query, bodies nested deeper and deeper."""
    depths = [100_000, *range(1000, 300, -10)]
    bodies = [b"[" * depth + b"]" * depth for depth in depths]
    nested = [Request(headers={"content-type": ["application/json"]}, body=body) for body in bodies]

    async def use(opa, server):
        assert await ask(opa, make_facts(Request(target="/?a=%zz"))) is Reason.EVALUATION_ERROR
        assert await ask(opa, make_facts(nested[0])) is Reason.EVALUATION_ERROR
        assert server.asked == []
        assert {await ask(opa, make_facts(each)) for each in nested} <= {Reason.EVALUATION_ERROR, Reason.ALLOWED}

    asking(replies(200, b'{"result": true}'), use)


@pytest.mark.parametrize("path", ["shop/allow", "/shop/allow/", "a b/%/ä"])
def test_names_are_sent_as_they_are(path):
    """Escaped; slashes at the ends do not count. Below the path of the url, if it has one."""

    async def use(opa, server):
        await ask(opa)
        wanted = {"a b/%/ä": "a%20b/%25/%C3%A4"}.get(path, "shop/allow")
        assert server.asked[0].target == f"/v1/data/{wanted}?strict-builtin-errors=true"
        below = RemoteOpa(
            OpaEngine(f"http://127.0.0.1:{server.port}/opa/", path, 5.0),
            on_trouble=print,
            on_recovery=print,
            monotonic=Clock(),
        )
        await ask(below)
        below.close()
        assert server.asked[1].target.startswith(f"/opa/v1/data/{wanted}?")

    asking(replies(), use, path=path)


# --- What is not said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"<html>", Reason.EVALUATION_ERROR),
        (200, b"[true]", Reason.EVALUATION_ERROR),
        (200, b'{"result": true, "result": true}', Reason.EVALUATION_ERROR),
        (200, b'{"result": "true"}', Reason.EVALUATION_ERROR),
        (200, b'{"result": 1}', Reason.EVALUATION_ERROR),
        (200, b'{"result": {"allowed": 1}}', Reason.EVALUATION_ERROR),
        (200, b'{"result": tru', Reason.EVALUATION_ERROR),
        (200, b'{"result": "%s"}' % (b"x" * MAXIMUM_REPLY_BYTES), Reason.EVALUATION_ERROR),
        (400, b'{"code": "invalid_parameter", "message": "x"}', Reason.EVALUATION_ERROR),
        (201, b'{"result": true}', Reason.ENGINE_UNAVAILABLE),
        (204, b"", Reason.ENGINE_UNAVAILABLE),
        (302, b'{"result": true}', Reason.ENGINE_UNAVAILABLE),
        (401, b'{"code": "unauthorized", "message": "x"}', Reason.ENGINE_UNAVAILABLE),
        (404, b"404 page not found", Reason.ENGINE_UNAVAILABLE),
        (500, b"oops", Reason.ENGINE_UNAVAILABLE),
        (500, b'{"result": true}', Reason.ENGINE_UNAVAILABLE),
        (503, b'{"code": "x", "result": true}', Reason.ENGINE_UNAVAILABLE),
    ],
)
def test_anything_else_allows_nothing(status, body, reason):
    """Whatever answers there."""

    async def use(opa, _server):
        assert await ask(opa) is reason
        assert opa.answers == {reason: 1}

    asking(replies(status, body), use)


def test_a_decision_document_says_more_than_yes_or_no():
    """The document of opa-envoy-plugin's users; what it cannot carry out is an error, not left out."""
    denial = {"allowed": False, "http_status": 429, "body": "later", "headers": {"retry-after": "9"}}
    allow = {"allowed": True, "request_headers_to_remove": ["x-debug"], "response_headers_to_add": {"x-by": "opa"}}
    wrong = [
        {"allowed": True, "headers": {"x-user": "root"}},
        {"allowed": "yes"},
        {"allowed": False, "http_status": 200},
    ]

    async def use(opa, server):
        server.answer = replies(200, json.dumps({"result": denial}).encode())
        answer = await opa.ask(FACTS, 5.0)
        assert (answer.reason, answer.judgment.details.status) == (Reason.DENIED_BY_ENGINE, 429)
        assert (answer.judgment.details.body, answer.judgment.details.headers) == ("later", (("retry-after", "9"),))
        server.answer = replies(200, json.dumps({"result": allow}).encode())
        answer = await opa.ask(FACTS, 5.0)
        assert (answer.reason, answer.judgment.upstream.remove) == (Reason.ALLOWED, ("x-debug",))
        for document in wrong:
            server.answer = replies(200, json.dumps({"result": document}).encode())
            assert await ask(opa) is Reason.EVALUATION_ERROR

    asking(replies(), use)


def test_errors_of_the_policy_are_told_now_and_then_and_close_nothing():
    """Requests provoke them, so they say nothing about the next request, and must fill no log."""
    told, clock = Told(), Clock()
    error = b'{"code": "internal_error", "message": "alice", "errors": [%s]}'
    first = b'{"code": "eval_conflict_error", "message": "alice", "location": {"file": "a.rego", "row": 3}}'

    async def use(opa, server):
        for _ in range(3 * FAILURES_TO_OPEN):
            assert await ask(opa) is Reason.EVALUATION_ERROR
        assert told.troubles == ["status 500: eval_conflict_error at a.rego:3"]
        clock.now += 60
        await ask(opa)
        assert len(told.troubles) == 2
        assert not opa.is_left_alone

    asking(replies(500, error % first), use, told=told, clock=clock)


def test_an_opa_that_does_not_answer_is_left_alone_until_a_probe_succeeds():
    """Requests in between are answered at once; both ends of it are told."""
    told, clock = Told(), Clock()

    async def use(opa, server):
        for _ in range(FAILURES_TO_OPEN):
            assert await ask(opa) is Reason.ENGINE_UNAVAILABLE
        assert opa.is_left_alone
        asked = len(server.asked)
        server.answer = replies(200, b'{"result": true}')
        for _ in range(10):
            assert await ask(opa) is Reason.ENGINE_UNAVAILABLE
        assert len(server.asked) == asked
        clock.now += FIRST_PAUSE_SECONDS
        assert await ask(opa) is Reason.ALLOWED
        assert (len(told.troubles), told.recoveries, opa.is_left_alone) == (1, 1, False)
        assert "status 503" in told.troubles[0]

    asking(replies(503, b"down"), use, told=told, clock=clock)


def test_an_opa_that_hangs_is_a_missed_deadline_and_then_left_alone():
    """Within the time that is left, or its own limit."""

    async def never(_asked, _writer):
        await asyncio.Event().wait()

    async def use(opa, server):
        for _ in range(FAILURES_TO_OPEN):
            assert await ask(opa, seconds=0.02) is Reason.DEADLINE_EXCEEDED
        assert opa.is_left_alone
        assert await ask(opa, seconds=60) is Reason.ENGINE_UNAVAILABLE
        limited = remote(server.port, timeout_seconds=0.02)
        assert await ask(limited, seconds=60) is Reason.DEADLINE_EXCEEDED
        limited.close()

    asking(never, use)


def test_no_time_left_says_nothing_about_opa():
    """Something else took it: it is not asked, and nothing is held against it."""

    async def use(opa, server):
        for _ in range(2 * FAILURES_TO_OPEN):
            assert await ask(opa, seconds=0) is Reason.DEADLINE_EXCEEDED
        assert await ask(opa) is Reason.ALLOWED
        assert len(server.asked) == 1

    asking(replies(200, b'{"result": true}'), use)


def test_callers_that_go_away_close_nothing():
    """Clients could otherwise have requests of others refused."""
    reached = asyncio.Event()

    async def never(_asked, _writer):
        reached.set()
        await asyncio.Event().wait()

    async def use(opa, server):
        for _ in range(2 * FAILURES_TO_OPEN):
            reached.clear()
            task = asyncio.ensure_future(ask(opa))
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        server.answer = replies(200, b'{"result": true}')
        assert await ask(opa) is Reason.ALLOWED

    asking(never, use, connections=1)


def test_an_opa_that_is_started_anew_is_asked_again():
    """Connections that it had are replaced without a request lost."""

    async def use(opa, server):
        assert await ask(opa) is Reason.ALLOWED
        server.drop()
        assert await ask(opa) is Reason.ALLOWED
        assert server.connections == 2

    asking(replies(200, b'{"result": true}'), use)


# --- How it is reached ---------------------------------------------------------------------------------------------


def test_the_token_is_read_again_when_it_is_old(tmp_path):
    """Files of tokens are replaced while they are valid."""
    file, clock = tmp_path / "token", Clock()
    file.write_text("one\n")

    async def use(opa, server):
        await ask(opa)
        file.write_text("two")
        await ask(opa)
        clock.now += TOKEN_READ_SECONDS + 1
        await ask(opa)
        assert [asked.header("authorization") for asked in server.asked] == ["Bearer one", "Bearer one", "Bearer two"]
        file.unlink()
        clock.now += TOKEN_READ_SECONDS + 1
        assert await ask(opa) is Reason.ENGINE_UNAVAILABLE

    asking(replies(), use, clock=clock, token_file=str(file))


def test_mutual_tls(tmp_path):
    """Each end proves itself by files of the settings."""
    tls, authority = certificate(tmp_path, "127.0.0.1")
    callers = CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251
    own = callers.issue(x509.DNSName("extauthz"))
    tls.load_verify_locations(callers.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED

    async def main():
        async with ScriptedServer(replies(200, b'{"result": true}')).serving(tls) as server:
            for client, reason in [(str(own), Reason.ALLOWED), (None, Reason.ENGINE_UNAVAILABLE)]:
                engine = OpaEngine(
                    f"https://127.0.0.1:{server.port}",
                    "shop/allow",
                    5.0,
                    ca_file=str(authority),
                    client_cert=client,
                    client_key=client,
                )
                opa = RemoteOpa(engine, on_trouble=print, on_recovery=print, monotonic=Clock())
                assert await ask(opa) is reason
                opa.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "opa:8181"}, "write http://HOST:PORT"),
        ({"url": "http://"}, "write http://HOST:PORT"),
        ({"url": "http://h:99999"}, "engine.opa.url: Port out of range"),
        ({"url": "https://opa..example"}, "engine.opa.url: encoding with 'idna'"),
        ({"url": "https://user:secret@opa"}, "token_file"),
        ({"url": "https://opa/?token=secret"}, "token_file"),
        ({"url": "http://opa:8181"}, "allow_http: true"),
        ({"path": "/"}, "shop/allow"),
        ({"path": "data.shop.allow"}, "shop/allow"),
        ({"path": "shop//allow"}, "shop/allow"),
        ({"client_cert": "c"}, "go together"),
        ({"ca_file": "c"}, "need an https url"),
        ({"url": "https://opa", "ca_file": "/nowhere"}, "No such file"),
        ({"token_file": "/nowhere"}, "No such file"),
        ({"token_file": "/dev/null"}, "one word"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields, message):
    """At the start, with what to change, and without what may be secret."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        check_engine(OpaEngine(**{"url": "http://127.0.0.1:8181", "path": "shop/allow", **fields}))
    assert "secret" not in str(raised.value)


def test_plain_http_to_another_machine_must_be_wanted():
    """Whoever is on the way could write the answers."""
    check_engine(OpaEngine("http://opa:8181", "shop/allow", allow_http=True))
