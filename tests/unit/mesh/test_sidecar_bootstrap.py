from __future__ import annotations

import datetime as dt
import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from extauthz.demo.envoy import envoy_binary
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.lowering.mode import Mode
from extauthz.mesh.inbound import MutualTls
from extauthz.mesh.outbound import Unknown
from extauthz.mesh.peer_tls import ControlledCertificates, FileCertificates
from extauthz.mesh.pod_environment import read_environment
from extauthz.mesh.services import EMPTY, parse_registry
from extauthz.mesh.sidecar import inbound_side, outbound_side
from extauthz.mesh.sidecar_bootstrap import ControlPlane, Sidecar, bootstrap, listener_file, needs_certificates
from extauthz.sources.policy_files import load
from tests.harness.certificates import CertificateAuthority

LISTENERS = Path("/listeners.json")
ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"
SERVICES = parse_registry(
    {
        "services": {
            "orders": {
                "identities": [ORDERS],
                "balancing": {"ring_hash": {"header": "x-user"}},
                "rate_limit": {"requests": 5},
            },
            "legacy": {"tls": "none", "endpoints": ["10.0.0.1:80"]},
        }
    },
    "test",
)
CONTROL = ControlPlane(TcpAddress("10.0.0.9", 15010), "spiffe://cluster.local/extauthz/control", "/ca.pem", "t" * 32)
POLICY = """
version: 1
name: orders
trust_domains: [cluster.local]
defaults: {authentication: none}
routes:
  - {name: all, path: "/**", allow: [{workload: "spiffe://cluster.local/ns/shop/sa/frontend"}]}
upstream_headers: {set: {x-user: "{principal.subject}"}}
"""


def sidecar(**changes):
    """From a control plane, with mutual TLS."""
    wanted = {
        "pod": read_environment({}),
        "mutual_tls": MutualTls.STRICT,
        "certificates": ControlledCertificates(),
        "registry": EMPTY,
        "control": CONTROL,
        "unknown": Unknown.REFUSE,
    }
    return Sidecar(**{**wanted, **changes})


@pytest.fixture
def policy_set(tmp_path):
    """A set that the native filters can hold."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return load([str(file)]).parsed.policy_set


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        (Mode.CHECK, {"mutual_tls": MutualTls.DISABLE, "registry": SERVICES, "unknown": Unknown.PASS}),
        (Mode.NATIVE, {"mutual_tls": MutualTls.PERMISSIVE}),
        (Mode.SPLIT, {"pod": read_environment({"ISTIO_META_INTERCEPTION_MODE": "TPROXY", "INSTANCE_IP": "fd00::2"})}),
    ],
)
def test_envoy_accepts_it(tmp_path, policy_set, mode, changes):
    """The real binary validates every kind, its listeners too, which it would otherwise read only when it runs."""
    authority = CertificateAuthority(tmp_path, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    control = ControlPlane(CONTROL.address, CONTROL.identity, str(authority.certificate), CONTROL.token)
    if "registry" in changes:
        key = authority.issue(x509.UniformResourceIdentifier(ORDERS))
        for name in ("cert-chain.pem", "key.pem", "root-cert.pem"):
            (tmp_path / name).write_bytes(key.read_bytes())
        source = FileCertificates(tmp_path, tmp_path)
        for path, content in source.documents().items():
            path.write_text(json.dumps(content))
        wanted = sidecar(control=None, certificates=source, **changes)
    else:
        wanted = sidecar(control=control, **changes)
    sides = [inbound_side(policy_set, mode, tmp_path), outbound_side(policy_set, tmp_path)]
    document = bootstrap(wanted, sides, tmp_path / "listeners.json")
    document["static_resources"]["listeners"] = [
        {key: value for key, value in each.items() if key != "@type"}
        for each in listener_file(wanted, sides)["resources"]
    ]
    del document["dynamic_resources"]["lds_config"]
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(document))
    command = [envoy_binary(), "--mode", "validate", "-c", file, "-l", "warning"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_administration_interface_is_for_this_pod_alone():
    """Whoever reaches it controls the proxy; what others scrape is one path of it."""
    made = bootstrap(sidecar(), [None, None], LISTENERS)
    assert made["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15000}
    listeners = {each["name"]: each for each in listener_file(sidecar(), [None, None])["resources"]}
    http = listeners["prometheus"]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = http["route_config"]["virtual_hosts"]
    assert [each["match"] for each in host["routes"]] == [{"path": "/stats/prometheus"}]


def test_the_control_plane_is_believed_by_its_identity():
    """Not by its address; and it is told the node's secret."""
    socket = CONTROL.cluster()["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
    assert socket["match_typed_subject_alt_names"][0]["matcher"] == {"exact": CONTROL.identity}
    (service,) = CONTROL.ads_config()["grpc_services"]
    assert service["initial_metadata"] == [{"key": "authorization", "value": f"Bearer {'t' * 32}"}]
    local = ControlPlane(UnixAddress("/run/control.sock"), CONTROL.identity, "", "t" * 32)
    assert "transport_socket" not in local.cluster()


def test_services_stand_here_or_are_discovered():
    """Never both."""
    static = bootstrap(sidecar(control=None, registry=SERVICES), [None, None], LISTENERS)
    names = {each["name"] for each in static["static_resources"]["clusters"]}
    assert {"service_orders", "service_legacy"} <= names
    assert "ads_config" not in static["dynamic_resources"]
    discovered = bootstrap(sidecar(), [None, None], LISTENERS)
    found = {each["name"] for each in discovered["static_resources"]["clusters"]}
    assert not any(name.startswith("service_") for name in found)
    assert discovered["dynamic_resources"]["cds_config"]["ads"] == {}


def test_which_services_need_a_certificate():
    """Those that are called with mutual TLS."""
    assert needs_certificates(SERVICES) == ["orders"]
