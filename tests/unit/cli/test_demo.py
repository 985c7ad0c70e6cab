import asyncio
import json
import re
import signal
import subprocess
import sys
from urllib.request import Request, urlopen

import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from extauthz.demo import table
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError

pytestmark = pytest.mark.envoy
COMMAND = [sys.executable, "-m", "extauthz", "demo"]


def test_the_demo_is_green(capsys):
    """Exit 0, a row for each request, ready in less than five seconds."""
    assert run(["demo", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["ready_seconds"] < 5
    assert len(document["requests"]) == len(table.REQUESTS)


def test_the_table_is_readable(capsys):
    """Each row has its request, statuses, reason, rule and what the upstream saw."""
    assert run(["demo"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "GET /orders/1001 " in line)
    assert re.search(r"ok\b.*carol.*200.*200.*allowed.*order\.allow\.owner.*carol", row)
    assert f"{len(table.REQUESTS)} requests, all as expected; ready after" in out


def test_a_difference_is_marked_and_exits_2(capsys, monkeypatch):
    """Not green is a negative answer, with both values in the row."""
    wrong = table.DemoRequest("GET", "/healthz", None, table.Expected("200", "preflight", ("health.public",)))
    monkeypatch.setattr(table, "REQUESTS", (wrong,))
    assert run(["demo"]) == EXIT_NEGATIVE
    out = capsys.readouterr().out
    assert "allowed, not preflight" in out
    assert "1 not as expected" in out


def test_without_envoy_it_says_what_to_install(capsys, monkeypatch):
    """Exit 1, one line, no traceback."""

    def missing():
        raise EnvironmentUnfitError("there is no embedded Envoy: install the extra")

    monkeypatch.setattr("extauthz.demo.envoy.envoy_binary", missing)
    assert run(["demo"]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err == "extauthz: there is no embedded Envoy: install the extra\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_hold_keeps_everything_up_until_a_signal(number):
    """The curl lines work while it lasts; then nothing listens any more."""
    with subprocess.Popen([*COMMAND, "--hold"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        line = next(line for line in demo.stderr if "/healthz" in line)
        url = re.search(r"http://[0-9.:]+/healthz", line)
        assert url is not None
        with urlopen(Request(url[0]), timeout=5) as response:
            assert response.status == 200
        demo.send_signal(number)
        demo.stderr.read()
        assert demo.wait(10) == 0
        with pytest.raises(OSError, match="refused"):
            urlopen(url[0], timeout=5)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--against", "http://127.0.0.1:1", "--hold"], "--hold keeps up what the demo starts"),
        (["--against", "http://127.0.0.1:1", "--mode", "native"], "--mode is for what the demo starts"),
        (["--against", "127.0.0.1:1"], "write http://host:port"),
        (["--against", "https://127.0.0.1:1"], "--ca FILE goes with https"),
        (["--ca", "ca.pem"], "--ca goes with --against"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(capsys, flags, says):
    """Before anything is started or sent."""
    assert run(["demo", *flags]) == EXIT_WRONG_INPUT
    assert says in capsys.readouterr().err


def test_a_stack_that_runs_elsewhere_is_shown_in_the_same_table(capsys, monkeypatch):
    """Without the columns that only an access log could fill; a difference exits 2 all the same."""
    good = table.DemoRequest("GET", "/healthz", None, table.Expected("200", "allowed", ("health.public",)))
    wrong = table.DemoRequest("GET", "/other", None, table.Expected("403", "no_route"))
    monkeypatch.setattr(table, "REQUESTS", (good, wrong))

    async def against(*flags):
        async with echo_upstream() as address:
            return await asyncio.to_thread(run, ["demo", "--against", f"http://{address}", *flags])

    assert asyncio.run(against()) == EXIT_NEGATIVE
    out = capsys.readouterr().out
    assert re.search(r"ok +GET /healthz +anonymous +200 +200 *$", out, re.MULTILINE)
    assert "decided by" not in out
    assert "2 requests, 1 not as expected\n" in out
    assert asyncio.run(against("--format", "json")) == EXIT_NEGATIVE
    document = json.loads(capsys.readouterr().out)
    assert [(each["differences"], each["decision_seen"]) for each in document["requests"]] == [
        ([], False),
        (["status"], False),
    ]
