"""Real connections between real network namespaces: which of them reach the proxy, and which do not."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest

from tests.netns.namespaces import APP, OUTSIDE, OUTSIDE_V6, POD, POD_V6, PROXY, pod_and_outside

pytestmark = pytest.mark.netns

SERVICE = "10.96.0.10"  # an address that no host has, as that of a Kubernetes service
LAST_HOP = ["-o", "lo", "-s", "127.0.0.6/32", "-j", "RETURN"]
EXCLUDED = "10.96.0.11"
OWNER_RETURNS = [["-m", "owner", f"--{kind}-owner", str(PROXY), "-j", "RETURN"] for kind in ("uid", "gid")]


@contextmanager
def mesh_pod(*flags, kind="nft"):
    """A pod whose traffic is captured, with an application, and endpoints where the proxy would listen."""
    with ExitStack() as stack:
        pod, outside = stack.enter_context(pod_and_outside())
        done = pod.mesh_init("--force-iptables-binary", kind, *flags)
        assert done.returncode == 0, done.stderr
        for host in ("0.0.0.0", "::"):
            stack.enter_context(pod.serving(host, "--tcp", "8080", uid=APP))
            stack.enter_context(pod.serving(host, "--tcp", "15001", "15006", "15021", uid=PROXY))
            stack.enter_context(outside.serving(host, "--tcp", "8000", "9000", uid=APP))
        yield pod, outside


@pytest.fixture(params=["nft", "legacy"], scope="module")
def redirected(request):
    """A pod with the standard rules, by either kind of iptables."""
    with mesh_pod(kind=request.param) as pair:
        yield pair


def test_who_is_captured(redirected):
    """Inbound and outbound connections reach the proxy, which learns where they were going; its own do not."""
    pod, outside = redirected
    inbound = outside.ask(POD, 8080, uid=APP)
    assert (inbound["at"], inbound["original"], inbound["peer"]) == (15006, [POD, 8080], OUTSIDE)
    outbound = pod.ask(OUTSIDE, 9000, uid=APP)
    assert (outbound["at"], outbound["original"]) == (15001, [OUTSIDE, 9000])
    as_root = pod.ask(OUTSIDE, 9000, uid=0)
    assert as_root["at"] == 15001
    health = outside.ask(POD, 15021, uid=APP)
    assert (health["at"], health["peer"]) == (15021, OUTSIDE)
    assert pod.ask(OUTSIDE, 9000, uid=PROXY)["at"] == 9000
    assert pod.ask(OUTSIDE, 9000, uid=0, gid=PROXY)["at"] == 9000


def test_calls_within_the_pod(redirected):
    """An application reaches itself directly; the proxy's call to its own pod passes through its inbound side."""
    pod, _ = redirected
    assert pod.ask("127.0.0.1", 8080, uid=APP)["at"] == 8080
    assert pod.ask(POD, 8080, uid=APP)["at"] == 8080
    assert pod.ask(POD, 8080, uid=PROXY)["at"] == 15006
    assert pod.ask(SERVICE, 80, uid=APP)["original"] == [SERVICE, 80]
    last_hop = pod.ask(POD, 8080, "--source", "127.0.0.6", uid=PROXY)
    assert last_hop["at"] == 8080


def test_ipv6_is_captured_where_the_pod_has_an_address_of_it(redirected):
    """Traffic does not get past the proxy by another address family."""
    pod, outside = redirected
    assert outside.ask(POD_V6, 8080, uid=APP)["original"] == [POD_V6, 8080]
    assert pod.ask(OUTSIDE_V6, 9000, uid=APP)["original"] == [OUTSIDE_V6, 9000]
    assert pod.ask(OUTSIDE_V6, 9000, uid=PROXY)["at"] == 9000
    assert pod.ask(POD_V6, 8080, "--source", "::6", uid=PROXY)["at"] == 8080


def test_the_rules_that_break_loops_are_needed():
    """Without them the proxy's own connections come back to it: those outwards, and the last hop."""
    with mesh_pod("--family", "4") as (pod, _):
        for words in OWNER_RETURNS:
            pod.run("iptables-nft", "-t", "nat", "-D", "ISTIO_OUTPUT", *words)
        assert pod.ask(OUTSIDE, 9000, uid=PROXY)["at"] == 15001
        pod.run("iptables-nft", "-t", "nat", "-D", "ISTIO_OUTPUT", *LAST_HOP)
        assert pod.ask(POD, 8080, "--source", "127.0.0.6", uid=PROXY)["at"] == 15006


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_tproxy_shows_the_proxy_the_connection_as_it_is(kind):
    """Nothing is rewritten: the proxy's socket has the application's address and the client's."""
    with ExitStack() as stack:
        pod, outside = stack.enter_context(pod_and_outside())
        done = pod.mesh_init("-m", "TPROXY", "--force-iptables-binary", kind, "--run-validation")
        assert done.returncode == 0, done.stderr
        stack.enter_context(pod.serving("0.0.0.0", "--tcp", "15006", "--transparent", uid=0, gid=PROXY))
        stack.enter_context(pod.serving("0.0.0.0", "--tcp", "8080", "15021", uid=APP))
        inbound = outside.ask(POD, 8080, uid=APP)
        assert (inbound["at"], inbound["local"], inbound["peer"]) == (15006, [POD, 8080], OUTSIDE)
        assert outside.ask(POD, 15021, uid=APP)["at"] == 15021
        assert pod.ask(POD, 8080, uid=APP)["at"] == 8080


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_dns_queries_reach_the_proxy(kind):
    """The application's query is answered by the proxy under the server's address; the proxy's own goes out."""
    with ExitStack() as stack:
        flags = ["--redirect-dns", "--capture-all-dns", "--family", "4", "--force-iptables-binary", kind]
        pod, outside = stack.enter_context(pod_and_outside())
        done = pod.mesh_init(*flags)
        assert done.returncode == 0, done.stderr
        stack.enter_context(pod.serving("127.0.0.1", "--udp", "15053", uid=PROXY))
        stack.enter_context(outside.serving("0.0.0.0", "--udp", "53", uid=0))
        assert pod.ask(OUTSIDE, 53, "--over-udp", uid=APP) == {"at": 15053, "from": [OUTSIDE, 53]}
        assert pod.ask(OUTSIDE, 53, "--over-udp", uid=PROXY) == {"at": 53, "from": [OUTSIDE, 53]}


def test_flags_choose_ports_ranges_and_interfaces():
    """Included and excluded ports and ranges, as the flags say; an excluded interface is never captured."""
    with mesh_pod("-b", "7070", "-i", "10.96.0.0/16", "-q", "9000", "-x", f"{EXCLUDED}/32") as (pod, outside):
        outside.run("ip", "addr", "add", f"{EXCLUDED}/32", "dev", "lo")
        assert outside.ask(POD, 7070, uid=APP)["at"] == 15006
        assert outside.ask(POD, 8080, uid=APP)["at"] == 8080
        assert pod.ask(OUTSIDE, 9000, uid=APP)["at"] == 15001
        assert pod.ask(SERVICE, 80, uid=APP)["at"] == 15001
        assert pod.ask(EXCLUDED, 8000, uid=APP)["at"] == 8000
    with mesh_pod("-o", "9000") as (pod, _):
        assert pod.ask(OUTSIDE, 9000, uid=APP)["at"] == 9000
    with mesh_pod("-c", "eth0") as (pod, outside):
        assert pod.ask(OUTSIDE, 9000, uid=APP)["at"] == 9000
        assert outside.ask(POD, 8080, uid=APP)["at"] == 8080
    with mesh_pod("-b", "", "-i", "") as (pod, outside):
        assert pod.ask(OUTSIDE, 9000, uid=APP)["at"] == 9000
        assert outside.ask(POD, 8080, uid=APP)["at"] == 8080


def test_traffic_of_a_virtual_machine_is_outbound():
    """What arrives over its interface is sent to the outbound port."""
    with mesh_pod("-k", "eth0") as (_, outside):
        assert outside.ask(POD, 8080, uid=APP)["at"] == 15001
