"""Everything runs as the command does, in a network namespace of its own."""

from __future__ import annotations

import shutil

import pytest

from tests.netns.namespaces import namespace

pytestmark = pytest.mark.netns

TPROXY_BOTH = ["-m", "TPROXY", "--family", "both", "--redirect-dns", "--capture-all-dns", "-c", "eth9"]
OTHERS = "*nat\n-A PREROUTING -p udp -j ACCEPT\n-A OUTPUT -d 127.0.0.11/32 -j ACCEPT\nCOMMIT\n"


@pytest.fixture(params=["nft", "legacy"])
def kind(request):
    """Which iptables."""
    return request.param


@pytest.fixture
def pod():
    """A network namespace."""
    with namespace() as made:
        yield made


def routes(pod):
    """What capture may change besides rules."""
    commands = ["ip rule", "ip -6 rule", "ip route show table all", "ip -6 addr show dev lo"]
    return [pod.run(*command.split()).stdout for command in commands]


@pytest.fixture
def failing(tmp_path, kind):
    """Puts an iptables-restore in front that does its work and then fails, for one of the families."""

    def make(command):
        real = shutil.which(f"{command}-{kind}-restore")
        wrapper = tmp_path / f"{command}-{kind}-restore"
        # Only the applying call: undoing has to work.
        wrapper.write_text(f'#!/bin/sh\n{real} "$@"\ncase "$*" in *noflush*) echo broken >&2; exit 4;; esac\n')
        wrapper.chmod(0o755)
        return ["env", f"PATH={tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"]

    return make


def test_a_second_time_nothing_changes(pod, kind):
    """With the same flags, of any sort."""
    flags = [*TPROXY_BOTH, "--force-iptables-binary", kind]
    first = pod.mesh_init(*flags)
    assert first.returncode == 0, first.stderr
    before = pod.saved(kind), routes(pod)
    second = pod.mesh_init(*flags)
    assert (second.returncode, second.stderr) == (0, "IPv4 and IPv6: already captured, nothing changed\n")
    assert (pod.saved(kind), routes(pod)) == before


def test_other_flags_replace_the_rules(pod, kind):
    """The result is that of a fresh start; others' rules are kept."""
    pod.run(f"iptables-{kind}-restore", "--noflush", text=OTHERS)
    assert (
        pod.mesh_init("-p", "16001", "--redirect-dns", "--capture-all-dns", "--force-iptables-binary", kind).returncode
        == 0
    )
    assert pod.mesh_init("-p", "15001", "--force-iptables-binary", kind).returncode == 0
    saved = pod.saved(kind)
    assert "16001" not in saved
    assert "DNS" not in saved
    assert saved.count("-j ACCEPT") == 2


def test_an_earlier_exclusion_is_not_left_in_the_way(pod, kind):
    """A rule of an earlier run that these flags do not make would let traffic past: it is named, nothing is done."""
    assert pod.mesh_init("-c", "eth9", "--force-iptables-binary", kind).returncode == 0
    before = pod.saved(kind)
    done = pod.mesh_init("--force-iptables-binary", kind)
    assert done.returncode == 1
    assert "holds `-i eth9 -j RETURN`" in done.stderr
    assert pod.saved(kind) == before


@pytest.mark.parametrize("command", ["iptables", "ip6tables"])
def test_failure_leaves_everything_as_it_was(pod, kind, failing, command):
    """Whichever family fails, and however far it came."""
    pod.run(f"iptables-{kind}-restore", "--noflush", text=OTHERS)
    before = pod.saved(kind), routes(pod)
    done = pod.mesh_init(*TPROXY_BOTH, "--force-iptables-binary", kind, wrapper=failing(command))
    assert done.returncode == 1
    assert done.stderr == f"extauthz: {command}-{kind}-restore failed: broken; everything is as before\n"
    assert (pod.saved(kind), routes(pod)) == before


def test_being_ended_half_way_leaves_everything_as_it_was(pod, kind, tmp_path):
    """A container may be stopped at any moment."""
    real = shutil.which(f"iptables-{kind}-restore")
    wrapper = tmp_path / f"iptables-{kind}-restore"
    wrapper.write_text(f'#!/bin/sh\n{real} "$@"\ncase "$*" in *noflush*) kill -TERM $PPID; sleep 30;; esac\n')
    wrapper.chmod(0o755)
    before = pod.saved(kind), routes(pod)
    path = ["env", f"PATH={tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"]
    done = pod.mesh_init(*TPROXY_BOTH, "--force-iptables-binary", kind, wrapper=path)
    assert done.returncode == 130
    assert (pod.saved(kind), routes(pod)) == before


def test_rules_without_effect_are_a_failure(pod, kind, tmp_path):
    """What the kernel has decides, not what the program says."""
    wrapper = tmp_path / f"iptables-{kind}-restore"
    wrapper.write_text("#!/bin/sh\nexit 0\n")
    wrapper.chmod(0o755)
    path = ["env", f"PATH={tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"]
    done = pod.mesh_init("--force-iptables-binary", kind, wrapper=path)
    assert done.returncode == 1
    assert "the rules are not in force (table nat has no chain ISTIO_INBOUND); everything is as before" in done.stderr


def test_clean_up_leaves_nothing(pod, kind):
    """Neither rules nor routes, and others' stay; again it is fine, too."""
    pod.run(f"iptables-{kind}-restore", "--noflush", text=OTHERS)
    before = pod.saved(kind), routes(pod)
    flags = [*TPROXY_BOTH, "--force-iptables-binary", kind]
    assert pod.mesh_init(*flags).returncode == 0
    assert (pod.saved(kind), routes(pod)) != before
    assert pod.mesh_init(*flags, "--cleanup-only").stderr == "capture removed\n"
    assert (pod.saved(kind), routes(pod)) == before
    again = pod.mesh_init(*flags, "--cleanup-only")
    assert (again.returncode, again.stderr) == (0, "there was no capture to remove\n")


def test_legacy_rules_decide_which_iptables_is_used(pod):
    """Two packet filters at once would capture twice."""
    assert pod.mesh_init("--force-iptables-binary", "legacy").returncode == 0
    assert pod.mesh_init().stderr.endswith("already captured, nothing changed\n")
    assert pod.saved("nft") == ""


@pytest.mark.parametrize(
    ("kind_", "lost", "said"),
    [
        ("nft", "-net_admin", "NET_ADMIN"),
        ("legacy", "-net_raw", "NET_RAW"),
        ("legacy", "-all", "NET_ADMIN and NET_RAW"),
    ],
)
def test_a_missing_capability_is_one_line(pod, kind_, lost, said):
    """Before anything is changed."""
    wrapper = ["setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}"]
    done = pod.mesh_init("--force-iptables-binary", kind_, wrapper=wrapper)
    assert done.returncode == 1
    assert done.stderr.startswith(f"extauthz: missing capability {said}: ")
    assert done.stderr.count("\n") == 1
    assert pod.saved(kind_) == ""


def test_nft_needs_no_raw_sockets(pod):
    """NET_ADMIN alone is enough."""
    wrapper = ["setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin"]
    done = pod.mesh_init("--force-iptables-binary", "nft", wrapper=wrapper)
    assert done.returncode == 0, done.stderr
