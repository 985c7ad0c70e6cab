"""Asks the application what a kubelet would have asked it, as its own probe says (core/v1, Probe and LifecycleHandler).

HTTP and TCP go to the pod's own address, gRPC to the loopback address, from which the capture keeps away as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.mesh.local_http import Answer, connects, get

_DEFAULT_SECONDS: Final = 1.0  # Probe.timeoutSeconds
_USER_AGENT: Final = "kube-probe/extauthz"


def run_probe(probe: Mapping[str, Any], pod_address: str) -> Answer:
    """What the kubelet is told: the application's own status for HTTP, else 200 or 503.

    Args:
        probe: As `ISTIO_KUBE_APP_PROBERS` holds it: one of httpGet, tcpSocket and grpc, and timeoutSeconds.
        pod_address: The pod's.
    """
    seconds = float(probe.get("timeoutSeconds") or _DEFAULT_SECONDS)
    try:
        if "httpGet" in probe:
            return _get(probe["httpGet"], pod_address, seconds)
        if "tcpSocket" in probe:
            where = TcpAddress(pod_address, int(probe["tcpSocket"]["port"]))
            return _yes_or_no(connects(where, source=_source(pod_address), timeout_seconds=seconds))
        return _yes_or_no(_serves_grpc(probe["grpc"], pod_address, seconds))
    except EnvironmentUnfitError as error:
        return Answer(503, f"{error}\n".encode())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Answer(500, f"the probe cannot be meant: {error!r}\n".encode())


def _source(pod_address: str) -> str:
    return "::6" if ":" in pod_address else "127.0.0.6"


def _get(handler: Mapping[str, Any], pod_address: str, seconds: float) -> Answer:
    headers = {"user-agent": _USER_AGENT, "connection": "close"}
    headers |= {each["name"]: each["value"] for each in handler.get("httpHeaders") or ()}
    path = str(handler.get("path") or "/")
    found = get(
        TcpAddress(pod_address, int(handler["port"])),
        path if path.startswith("/") else f"/{path}",
        headers=headers,
        source=_source(pod_address),
        is_tls=str(handler.get("scheme", "HTTP")).upper() == "HTTPS",
        timeout_seconds=seconds,
    )
    # What an application says to its kubelet is not for whoever reaches this port.
    return Answer(found.status, b"")


def _serves_grpc(handler: Mapping[str, Any], pod_address: str, seconds: float) -> bool:
    loopback = "[::1]" if ":" in pod_address else "127.0.0.1"
    request = health_pb2.HealthCheckRequest(service=str(handler.get("service") or ""))
    with grpc.insecure_channel(f"{loopback}:{int(handler['port'])}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _yes_or_no(yes: bool) -> Answer:  # noqa: FBT001 - an answer in other words
    return Answer(200, b"") if yes else Answer(503, b"")
