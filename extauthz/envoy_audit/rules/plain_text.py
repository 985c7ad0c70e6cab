"""EAE501."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from extauthz.envoy_audit.manager import Manager, below, get, text
from extauthz.envoy_audit.rule import EXT_AUTHZ, MANAGER, Finding, Rule
from extauthz.languages.policy_yaml.nodes import Fields
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("ExtAuthz"):
        name = text(each.config, "grpc_service", "envoy_grpc", "cluster_name") or text(
            each.config, "http_service", "server_uri", "cluster"
        )
        cluster = manager.clusters.get(name)
        if cluster is None or get(cluster, "transport_socket") is not None or get(cluster, "transport_socket_matches"):
            continue
        if any(not _is_here(address) for address in _addresses(cluster)):
            hint = "give the cluster a transport_socket with TLS, or ask over a Unix socket"
            yield Finding(cluster, f"{name!r} is asked in clear text: requests are read, and answers forged", hint)


def _addresses(cluster: Fields) -> Iterator[str]:
    for node in below(cluster):
        if get(node, "socket_address") is not None:
            yield text(node, "socket_address", "address")


def _is_here(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


_CONFIGURATION = f"""\
static_resources:
  listeners:
    - filter_chains:
        - filters:
            - typed_config:
                {MANAGER}
                http_filters:
                  - name: ext_authz
                    typed_config: {{{EXT_AUTHZ}, grpc_service: {{envoy_grpc: {{cluster_name: authz}}}}}}
  clusters:
    - name: authz
      load_assignment:
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{ADDRESS}}}}
"""

RULE = Rule(
    code="EAE501",
    title="the authorizer is asked in clear text",
    severity=Severity.WARNING,
    why="""\
A question holds the request with its cookies and tokens; the answer decides. Who stands between Envoy and the
authorizer reads the one and writes the other.""",
    wrong=_CONFIGURATION.replace("ADDRESS", "socket_address: {address: 10.0.0.7, port_value: 9000}"),
    right=_CONFIGURATION.replace("ADDRESS", "pipe: {path: /run/extauthz.sock}"),
    check=_check,
)
