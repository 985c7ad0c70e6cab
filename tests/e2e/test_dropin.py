"""A drop-in for opa-envoy-plugin, by a bundle on a web server and a module beside it; in front of it a real Envoy."""

import io
import json
import tarfile

import pytest

from tests.e2e.images import ROOT
from tests.e2e.proxy import Proxy
from tests.e2e.stack import running_stack

STACKS = ROOT / "tests" / "e2e" / "stacks"
POLICY = """\
package shop

default decision := {"allowed": false, "http_status": 401, "body": "who are you?"}

decision := {"allowed": true} if data.users[data.people.name]
"""


class Bundles:
    """The web server's folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        folder.parent.chmod(0o755)
        folder.chmod(0o755)

    def publish(self, policy, **users):
        """A new bundle in the place of the one before, at once."""
        fresh = self.folder / "fresh"
        with tarfile.open(fresh, "w:gz") as bundle:
            for name, text in {"policy.rego": policy, "data.json": json.dumps({"users": users})}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                bundle.addfile(entry, io.BytesIO(text.encode()))
        fresh.chmod(0o644)
        fresh.replace(self.folder / "bundle.tar.gz")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    made = Bundles(tmp_path_factory.mktemp("dropin") / "bundles")
    made.publish(POLICY, alice=True)
    return made


@pytest.fixture(scope="module")
def stack(client, environment, bundles):
    told = {**environment, "BUNDLES": str(bundles.folder)}
    with running_stack(client, STACKS / "dropin.yaml", project="e2e-dropin", environment=told) as running:
        yield running


@pytest.fixture
def proxy(stack):
    return Proxy(stack.port("envoy", 8080))


def statuses(proxy):
    """Of what two callers get."""
    return [proxy.get("/", {"x-who": name}) for name in ("alice", "bob")]


def test_the_bundles_policy_decides(stack, proxy):
    """Its document is what the client gets."""
    stack.wait("the bundle decides", lambda: statuses(proxy) == [200, 401])
    assert proxy.fetch("/", {"x-who": "bob"}) == (401, b"who are you?")


def test_a_new_bundle_is_taken_up(stack, proxy, bundles):
    """And one that is broken is not: the last good one decides on, and the log says what is wrong."""
    bundles.publish(POLICY, bob=True)
    stack.wait("the new one decides", lambda: statuses(proxy) == [401, 200])
    bundles.publish("package shop\n\ndecision := nosuch(1)\n")
    stack.wait("the log tells", lambda: "nosuch" in stack.log("authorizer"))
    assert statuses(proxy) == [401, 200]
    bundles.publish(POLICY, alice=True)
    stack.wait("a repaired one decides", lambda: statuses(proxy) == [200, 401])


def test_without_the_web_server_the_last_bundle_decides(stack, proxy):
    """It is not asked for a decision."""
    stack.container("bundles").stop(timeout=1)
    try:
        stack.wait("the log tells", lambda: "bundle_fetch_failed" in stack.log("authorizer"))
        assert statuses(proxy) == [200, 401]
    finally:
        stack.container("bundles").start()


def test_without_a_policy_nothing_passes(stack, proxy):
    """A restarted authorizer that gets no bundle lets nobody in."""
    stack.container("bundles").stop(timeout=1)
    stack.container("authorizer").restart(timeout=2)
    try:
        stack.wait("it runs", lambda: "waiting_for_bundles" in stack.log("authorizer"))
        assert 200 not in {proxy.get("/", {"x-who": "alice"}) for _ in range(20)}
    finally:
        stack.container("bundles").start()
    stack.wait("the bundle decides", lambda: statuses(proxy) == [200, 401])
