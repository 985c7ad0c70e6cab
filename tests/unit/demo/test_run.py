import asyncio
import dataclasses
import shlex
import socket
import subprocess
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from extauthz.demo.client import parse_server
from extauthz.demo.run import running_demo, send_against
from extauthz.demo.table import CUSTOMER, DemoRequest, Expected, examples, requests_of
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.mode import Mode

pytestmark = pytest.mark.envoy
NOW = time.time  # noqa: TID251 - real tokens for a real service
SHOP = requests_of("shop")


@pytest.fixture
def nobody():
    """A server that is not there, at a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return parse_server(f"http://127.0.0.1:{taken.getsockname()[1]}")


async def send(directory, requests, example="shop"):
    """The outcomes of requests through a demo of their own."""
    async with running_demo(directory, NOW, example=example) as demo:
        return await demo.send(requests)


@pytest.mark.parametrize("example", examples())
def test_every_request_comes_out_as_the_table_says(tmp_path, example):
    """The whole product, end to end, on real Envoy."""
    outcomes = asyncio.run(send(tmp_path, requests_of(example), example))
    assert [(o.request.method, o.request.path, o.actual) for o in outcomes if o.differences] == []


@pytest.mark.parametrize("mode", [Mode.NATIVE, Mode.WASM, Mode.SPLIT])
def test_envoy_deciding_by_itself_changes_no_answer(tmp_path, mode):
    """The same table: statuses, and who the upstream is told that the caller is."""

    async def scenario():
        async with running_demo(tmp_path, NOW, mode) as demo:
            return await demo.send(SHOP)

    outcomes = asyncio.run(scenario())
    assert [(o.request.method, o.request.path, o.actual) for o in outcomes if o.differences] == []
    assert not any(o.decision_seen for o in outcomes)


def test_a_wrong_expectation_is_a_difference(tmp_path):
    """The table can fail: what is compared is what happened."""
    request = DemoRequest("GET", "/healthz", None, Expected("403", "no_route", user="alice"))
    (outcome,) = asyncio.run(send(tmp_path, [request]))
    assert outcome.differences == ("status", "reason", "policies", "user")


def test_requests_can_be_sent_again(tmp_path):
    """Each is matched with its own line of the access log, not with an earlier one."""

    async def scenario():
        async with running_demo(tmp_path, NOW) as demo:
            return [await demo.send([SHOP[number]]) for number in (0, 3, 0)]

    outcomes = [outcome for (outcome,) in asyncio.run(scenario())]
    assert [(o.request, o.differences) for o in outcomes] == [(SHOP[number], ()) for number in (0, 3, 0)]


def test_a_curl_line_does_what_the_row_does(tmp_path):
    """What --hold prints works as pasted."""
    request = dataclasses.replace(SHOP[0], path="/orders/1001", caller=CUSTOMER, headers=(("x-note", "a b"),))

    async def scenario():
        async with running_demo(tmp_path, NOW) as demo:
            words = shlex.split(demo.client.curl(request))
            assert words[0] == "curl"
            return await asyncio.to_thread(subprocess.run, [*words, "-sS"], check=True, capture_output=True, text=True)

    done = asyncio.run(scenario())
    assert "HTTP/1.1 200" in done.stdout
    assert '"x-user": "carol"' in done.stdout
    assert '"x-note": "a b"' in done.stdout


def test_a_stack_that_runs_elsewhere_is_asked_the_same(tmp_path):
    """Statuses and what the upstream saw are compared; reasons cannot be seen from outside."""

    async def scenario():
        async with running_demo(tmp_path, NOW) as demo:
            return await asyncio.to_thread(against, demo)

    def against(demo):
        wrong = dataclasses.replace(SHOP[0], expected=Expected("403", "no_route", user="alice"))
        issuer = parse_server(demo.issuer.url)
        return send_against(demo.client.proxy, issuer, (*SHOP, wrong), clock=NOW, start_seconds=5)

    *outcomes, wrong = asyncio.run(scenario())
    assert [(o.request.path, o.actual) for o in outcomes if o.differences] == []
    assert {o.actual.user for o in outcomes} >= {"carol", "alice", "reporter"}
    assert wrong.differences == ("status", "user")


def test_a_stack_that_does_not_run_is_one_message(nobody):
    """What to do about it is in it."""
    with pytest.raises(EnvironmentUnfitError, match=r"^nothing answers at http://127.0.0.1:\d+: start it first"):
        send_against(nobody, nobody, SHOP, clock=NOW, start_seconds=0)


def test_a_proxy_that_starts_late_is_waited_for(nobody):
    """`up` and the table may be started together."""

    async def late():
        async with asyncio.TaskGroup() as tasks:
            request = DemoRequest("GET", "/healthz", None, Expected("200", None))
            sent = tasks.create_task(
                asyncio.to_thread(send_against, nobody, nobody, [request], clock=NOW, start_seconds=20)
            )
            await asyncio.sleep(0.3)  # the first attempts fail
            async with echo_upstream(nobody.address):
                return await sent

    (outcome,) = asyncio.run(late())
    assert outcome.differences == ()


class Hesitant(BaseHTTPRequestHandler):
    """Cannot decide the first two times that it is asked about `/slow`, and never about `/never`."""

    asked: Counter[str]

    def do_GET(self):
        self.asked[self.path] += 1
        decides = self.path == "/healthz" or (self.path == "/slow" and self.asked["/slow"] > 2)
        self.send_response(200 if decides else 503)
        self.end_headers()
        self.wfile.write(b'{"headers": {}}')

    def log_message(self, *args):
        pass


def test_what_could_not_be_decided_is_asked_again():
    """A few times: a proxy that never decides is a difference."""
    asked: Counter[str] = Counter()
    with HTTPServer(("127.0.0.1", 0), type("Handler", (Hesitant,), {"asked": asked})) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            proxy = parse_server(f"http://127.0.0.1:{server.server_port}")
            requests = [
                DemoRequest("GET", path, None, Expected("200", None)) for path in ("/healthz", "/slow", "/never")
            ]
            outcomes = send_against(proxy, proxy, requests, clock=NOW, start_seconds=5)
        finally:
            server.shutdown()
            thread.join()
    assert [outcome.actual.status for outcome in outcomes] == ["200", "200", "503"]
    assert (asked["/slow"], asked["/never"]) == (3, 5)


def test_what_fails_inside_comes_out_as_it_is(tmp_path, monkeypatch):
    """A missing Envoy is one message, not a group of exceptions."""

    def missing():
        raise EnvironmentUnfitError("there is no embedded Envoy")

    monkeypatch.setattr("extauthz.demo.envoy.envoy_binary", missing)
    with pytest.raises(EnvironmentUnfitError, match="no embedded Envoy"):
        asyncio.run(send(tmp_path, []))
