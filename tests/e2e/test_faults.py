"""What goes wrong in a stack, and that nothing gets through because of it.

`/items` is open to anyone and `/orders` to nobody without a token: a wrong answer would be a 200 for the second.
"""

import json
import shutil
import threading
import time
from collections import Counter
from urllib.request import Request, urlopen

import pytest

from tests.e2e.images import ROOT
from tests.e2e.proxy import UNAVAILABLE
from tests.e2e.stack import running_stack

STACKS = ROOT / "tests" / "e2e" / "stacks"


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """A copy of the project's, which a test may change."""
    folder = tmp_path_factory.mktemp("faults") / "policies"
    shutil.copytree(ROOT / "policies", folder)
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture(scope="module")
def stack(client, environment, free_ports, policies):
    """compose.yaml with what the tests here need."""
    ports = dict(zip(("PROXY_PORT", "ISSUER_PORT"), map(str, free_ports), strict=True))
    files = (ROOT / "compose.yaml", STACKS / "faults.yaml")
    told = {**environment, **ports, "POLICIES": str(policies)}
    with running_stack(client, *files, project="e2e-faults", environment=told) as running:
        yield running


@pytest.fixture(autouse=True)
def in_order(stack, proxy):
    """Every test finds and leaves the stack at work."""
    works(stack, proxy)
    yield
    works(stack, proxy)


def works(stack, proxy):
    """Wait until a good many requests in a row are answered as they should be."""

    def good():
        return all((proxy.get("/items"), proxy.get("/orders")) == (200, 401) for _ in range(10))

    stack.wait("answers as they should be", good)


def bearer(stack, **claims):
    """The header of a token of the stack's issuer."""
    body = json.dumps({"sub": "alice", "aud": "shop", "roles": ["clerk"], **claims}).encode()
    url = f"http://127.0.0.1:{stack.port('issuer', 8081)}/token"
    with urlopen(Request(url, body), timeout=10) as response:
        return {"authorization": f"Bearer {json.load(response)['access_token']}"}


class Load:
    """Requests from four clients for as long as the block lasts, and their statuses by path."""

    def __init__(self, proxy):
        self.seen: dict[str, Counter[int | None]] = {"/items": Counter(), "/orders": Counter()}
        self._proxy = proxy
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self):
        with self._lock:
            return sum(count.total() for count in self.seen.values())

    def _send(self):
        while not self._stop.is_set():
            for path, statuses in self.seen.items():
                status = self._proxy.get(path)
                with self._lock:
                    statuses[status] += 1


def assert_served(load):
    """Nothing but right answers; on a busy machine time may run out for one or another."""
    assert set(load.seen["/items"]) <= {200, UNAVAILABLE}
    assert set(load.seen["/orders"]) <= {401, UNAVAILABLE}
    assert sum(count[UNAVAILABLE] for count in load.seen.values()) <= load.total / 20, load.seen


def wait_for_requests(stack, load, number):
    """Let the load send this many more."""
    target = load.total + number
    stack.wait(f"{number} requests", lambda: load.total >= target)


def test_a_replica_killed_under_load_gives_no_wrong_answer(stack, proxy, record_testsuite_property):
    """What it was deciding is a 503, and so are the few requests by which Envoy finds out and asks it no more."""
    killed, _ = stack.containers("extauthz")
    with Load(proxy) as load:
        wait_for_requests(stack, load, 200)
        killed.kill("SIGKILL")
        wait_for_requests(stack, load, 400)
        killed.start()
        wait_for_requests(stack, load, 400)
    record_testsuite_property("killed_replica", {path: dict(count) for path, count in load.seen.items()})
    assert set(load.seen["/items"]) <= {200, UNAVAILABLE}
    assert set(load.seen["/orders"]) <= {401, UNAVAILABLE}
    failed = sum(count[UNAVAILABLE] for count in load.seen.values())
    assert failed < load.total / 5, load.seen  # without a look at failures it is one in five, and more for longer
    stack.wait("both replicas healthy", lambda: stack.is_healthy("extauthz"))


def test_without_any_authorizer_nothing_is_forwarded(stack, proxy):
    """Envoy answers 503 to everything, also to what is open to anyone, until one is back."""
    replicas = stack.containers("extauthz")
    for each in replicas:
        each.kill("SIGKILL")
    seen = {proxy.get(path) for path in ("/items", "/orders", "/healthz") for _ in range(20)}
    for each in replicas:
        each.start()
    assert seen == {UNAVAILABLE}


def test_without_the_issuer_known_keys_serve(stack, proxy):
    """A token that was signed before is still verified, by both replicas; new keys are found when it is back."""
    token = bearer(stack)
    assert {proxy.decided("/orders", token) for _ in range(10)} == {200}
    issuer = stack.container("issuer")
    issuer.stop(timeout=2)
    try:
        assert {proxy.decided("/orders", token) for _ in range(40)} == {200}
    finally:
        issuer.start()
        stack.wait("the issuer is healthy", lambda: stack.is_healthy("issuer"))
    token = bearer(stack)  # it has made new ones
    stack.wait("both replicas know the new keys", lambda: {proxy.get("/orders", token) for _ in range(20)} == {200})


def test_a_broken_policy_leaves_the_last_good_one_in_force(stack, proxy, policies):
    """The log says what is wrong; a repaired one is taken up while requests are served."""
    policy = policies / "shop" / "policy.yaml"
    good = policy.read_text()
    with Load(proxy) as load:
        policy.write_text(good.replace("role: admin", "role: nobody"))
        stack.wait(
            "both replicas say that it is broken",
            lambda: all(b"policy_load_failed" in each.logs() for each in stack.containers("extauthz")),
        )
        wait_for_requests(stack, load, 100)
        policy.write_text(good.replace("path: /healthz", "path: /other"))
        stack.wait("the change is in force", lambda: {proxy.get("/other") for _ in range(20)} == {200})
        policy.write_text(good)
        stack.wait("the old one is in force", lambda: {proxy.get("/healthz") for _ in range(20)} == {200})
    assert_served(load)


def test_a_token_ends_when_its_time_is_over(stack, proxy):
    """Verified before, and in the cache of verified tokens, it is refused from then on."""
    skew = 30  # the provider's clock_skew
    token = bearer(stack, exp=int(time.time()) - skew + 4)  # noqa: TID251 - the containers' clock is this machine's
    assert proxy.decided("/orders", token) == 200
    stack.wait("the token is refused", lambda: proxy.get("/orders", token) == 401, seconds=10)
    assert {proxy.decided("/orders", token) for _ in range(10)} == {401}


def test_a_full_disk_costs_records_and_no_decisions(stack, proxy):
    """Of 64 KiB of decision log nothing is left soon; requests are answered on, and drops are counted."""
    with Load(proxy) as load:
        stack.wait("both replicas have dropped records", lambda: min(drops(stack)) > 0)
    assert_served(load)
    assert all(each.logs().count(b"decision_log_failed") >= 1 for each in stack.containers("extauthz"))


def drops(stack):
    """How many records each replica has dropped, by its own metrics."""
    reads = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9180/metrics').read().decode())"
    found = []
    for each in stack.containers("extauthz"):
        status, output = each.exec_run(["python3", "-c", reads])
        assert status == 0, output
        lines = [
            line for line in output.decode().splitlines() if line.startswith("extauthz_decision_log_dropped_total")
        ]
        found.append(sum(float(line.split()[-1]) for line in lines))
    return found


def test_a_restarted_proxy_asks_again_from_the_start(stack, proxy):
    """Nothing that it knew before is needed."""
    stack.container("envoy").restart(timeout=2)
    stack.wait("Envoy answers", lambda: proxy.get("/healthz") == 200)
    assert (proxy.decided("/items"), proxy.decided("/orders")) == (200, 401)
