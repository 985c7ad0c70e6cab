import json
import subprocess
import sys
from urllib.request import Request, urlopen

from extauthz.demo.table import REQUESTS
from tests.e2e.images import ROOT


def test_every_service_is_up_and_healthy(stack):
    """Two replicas of the authorizer, and one of each of the others."""
    services = sorted(each.labels["com.docker.compose.service"] for each in stack.containers())
    assert services == ["envoy", "extauthz", "extauthz", "issuer", "upstream"]


def test_the_table_comes_out_as_it_must(stack):
    """`docker compose run --rm demo` exits 0, as the file's head says."""
    done = stack.compose("run", "--rm", "demo")
    assert f"{len(REQUESTS)} requests, all as expected\n" in done.stdout


def test_the_table_can_be_sent_from_this_machine(stack):
    """`extauthz demo --against` from outside the containers."""
    proxy, issuer = (f"http://localhost:{stack.port(*each)}" for each in (("envoy", 8080), ("issuer", 8081)))
    command = [sys.executable, "-m", "extauthz", "demo", "--against", proxy, "--issuer", issuer, "--format", "json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_both_replicas_decide(stack):
    """Envoy balances over every address of the name; each decision is in the log of the replica that made it."""
    port = stack.port("envoy", 8080)
    for _ in range(20):
        with urlopen(f"http://127.0.0.1:{port}/items", timeout=10) as response:
            assert response.status == 200

    def decided():
        logs = [each.logs().decode() for each in stack.containers("extauthz")]
        return all('"route":"items"' in log.replace(" ", "") for log in logs)

    stack.wait("a decision of each replica", decided)


def test_the_access_log_names_the_decision(stack):
    """Envoy's own log says why, from the metadata of the decision."""
    port = stack.port("envoy", 8080)
    agent = {"user-agent": "access-log-test"}
    with urlopen(Request(f"http://127.0.0.1:{port}/items", headers=agent), timeout=10) as response:
        assert response.status == 200

    def line():
        return [each for each in stack.json_lines("envoy") if each.get("user_agent") == agent["user-agent"]]

    (entry,) = stack.wait("a line of the access log", line)
    assert (entry["effect"], entry["reason"], entry["route"]) == ("allow", "allowed", "items")
