import asyncio
import dataclasses
import shlex
import subprocess
import time

import pytest

from extauthz.demo.run import running_demo
from extauthz.demo.table import CUSTOMER, FORGER, REQUESTS, DemoRequest, Expected
from extauthz.errors import EnvironmentUnfitError

pytestmark = pytest.mark.envoy
NOW = time.time  # noqa: TID251 - real tokens for a real service


async def send(directory, requests):
    """The outcomes of requests through a demo of their own."""
    async with running_demo(directory, NOW) as demo:
        return await demo.send(requests)


def test_every_request_comes_out_as_the_table_says(tmp_path):
    """The whole product, end to end, on real Envoy."""
    outcomes = asyncio.run(send(tmp_path, REQUESTS))
    assert [(o.request.method, o.request.path, o.actual) for o in outcomes if o.differences] == []


def test_a_wrong_expectation_is_a_difference(tmp_path):
    """The table can fail: what is compared is what happened."""
    request = DemoRequest("GET", "/healthz", None, Expected("403", "no_route", user="alice"))
    (outcome,) = asyncio.run(send(tmp_path, [request]))
    assert outcome.differences == ("status", "reason", "policies", "user")


def test_requests_can_be_sent_again(tmp_path):
    """Each is matched with its own line of the access log, not with an earlier one."""

    async def scenario():
        async with running_demo(tmp_path, NOW) as demo:
            return [await demo.send([REQUESTS[number]]) for number in (0, 3, 0)]

    outcomes = [outcome for (outcome,) in asyncio.run(scenario())]
    assert [(o.request, o.differences) for o in outcomes] == [(REQUESTS[number], ()) for number in (0, 3, 0)]


def test_a_curl_line_does_what_the_row_does(tmp_path):
    """What --hold prints works as pasted."""
    request = dataclasses.replace(REQUESTS[0], path="/orders/1001", caller=CUSTOMER, headers=(("x-note", "a b"),))

    async def scenario():
        async with running_demo(tmp_path, NOW) as demo:
            words = shlex.split(demo.curl(request))
            assert words[0] == "curl"
            return await asyncio.to_thread(subprocess.run, [*words, "-sS"], check=True, capture_output=True, text=True)

    done = asyncio.run(scenario())
    assert "HTTP/1.1 200" in done.stdout
    assert '"x-user": "carol"' in done.stdout
    assert '"x-note": "a b"' in done.stdout


def test_a_tampered_token_has_other_claims_under_the_same_signature(tmp_path):
    """The forger's row tests the signature, not the encoding."""

    async def scenario():
        async with running_demo(tmp_path, NOW) as demo:
            return demo.mint(FORGER), demo.mint(CUSTOMER)

    forged, honest = (token.split(".") for token in asyncio.run(scenario()))
    assert forged[0] == honest[0]
    assert forged[1] != honest[1]


def test_what_fails_inside_comes_out_as_it_is(tmp_path, monkeypatch):
    """A missing Envoy is one message, not a group of exceptions."""

    def missing():
        raise EnvironmentUnfitError("there is no embedded Envoy")

    monkeypatch.setattr("extauthz.demo.envoy.envoy_binary", missing)
    with pytest.raises(EnvironmentUnfitError, match="no embedded Envoy"):
        asyncio.run(send(tmp_path, []))
