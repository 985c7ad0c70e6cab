from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import cast

import pytest

from extauthz.mesh.demo.network import Network
from extauthz.mesh.demo.stage import Stage
from extauthz.mesh.demo.steps import REFUSED, STEPS, Outcome, Step, run_steps


class Service(BaseHTTPRequestHandler):
    """Answers 200, then 503, in turn."""

    count = 0

    def do_GET(self) -> None:
        Service.count += 1
        self.send_response(200 if Service.count % 2 else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class LocalNetwork:
    """Every pod is this machine."""

    addresses = dict.fromkeys(("outside", "frontend", "orders"), "127.0.0.1")

    def inside(self, pod, work):
        assert pod in self.addresses
        return work()


class LocalStage(Stage):
    """A stage of one service; its access logs are files that the test writes."""

    def __init__(self, folder):
        super().__init__(cast("Network", LocalNetwork()), folder)

    def access_log(self, pod):
        return self.folder / f"{pod}.log"


@contextmanager
def service():
    Service.count = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()


def log(folder, pod, number, reason, policies=()):
    """A line about the calls of a step."""
    line = {"user_agent": f"extauthz-mesh-demo/{number}", "reason": reason, "policies": list(policies)}
    with (folder / f"{pod}.log").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def test_statuses_are_told_in_order_or_as_a_set(tmp_path):
    """One after another, or at once; nobody there is an answer of its own."""
    with service() as port:
        steps = [
            Step("in order", "outside", "a", "/", "", port=port, times=3),
            Step("at once", "frontend", "a", "/", "", port=port, times=4, is_at_once=True),
        ]
        outcomes = run_steps(LocalStage(tmp_path), steps)
    outcomes += run_steps(LocalStage(tmp_path), [Step("nobody", "outside", "a", "/", "", port=1)])
    assert [outcome.actual for outcome in outcomes] == ["200 503 200", "200, 503", REFUSED]


def test_who_decided_is_the_last_in_the_way(tmp_path):
    """The callee's decision, where there are two; lines of others and half a line are passed over."""
    log(tmp_path, "frontend", 0, "allowed", ["read"])
    log(tmp_path, "orders", 0, "no_matching_allow")
    with (tmp_path / "orders.log").open("a") as stream:
        stream.write('{"user_agent": "curl", "reason": "x"}\n{"user_agent": null, "reason": "y"}\n{"half')
    with service() as port:
        step = Step("one", "frontend", "a", "/", "200", "no_matching_allow", port=port)
        (outcome,) = run_steps(LocalStage(tmp_path), [step])
    assert outcome.decided == "no_matching_allow"
    assert outcome.is_as_expected


@pytest.mark.parametrize(
    ("actual", "decided", "good"),
    [("200", "allowed a", True), ("403", "allowed a", False), ("200", "allowed b", False)],
)
def test_what_is_as_expected(actual, decided, good):
    """The status alone is not enough where somebody has to have decided."""
    assert Outcome(Step("x", "frontend", "a", "/", "200", "allowed a"), actual, decided).is_as_expected is good
    assert Outcome(Step("x", "frontend", "a", "/", actual), actual, decided).is_as_expected


def test_the_table_has_both_sides():
    """Of everything that is allowed, something is denied."""
    expected = {step.expected for step in STEPS}
    assert {"200", "401", "403", "502", REFUSED, "200 200 429 429"} <= expected
