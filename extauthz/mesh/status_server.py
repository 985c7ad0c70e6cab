"""Port 15020, which the capture leaves alone: whether the sidecar is ready, the application's probes, all metrics.

A kubelet has no identity in the mesh, so what it asks the application comes through here. Only paths that the injector
wrote down are passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from extauthz import __version__
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress
from extauthz.mesh.application_probe import run_probe
from extauthz.mesh.inbound import INBOUND
from extauthz.mesh.local_http import Answer, get
from extauthz.mesh.outbound import OUTBOUND
from extauthz.mesh.pod_environment import PodEnvironment
from extauthz.mesh.sidecar_bootstrap import HEALTH, PROMETHEUS

LISTENERS: Final = frozenset({INBOUND, OUTBOUND, HEALTH, PROMETHEUS})
"""Without one of them, the proxy would be live all the same."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Readiness:
    """Whether the proxy, and every authorizer behind it, would answer a request."""

    def __init__(self, proxy: Address, authorizers: Sequence[Address]) -> None:
        """Ask these administration interfaces."""
        self.proxy = proxy
        self.authorizers = authorizers
        self.is_draining = False

    def problem(self) -> str | None:
        """Why it is not ready; None if it is."""
        if self.is_draining:
            return "the sidecar ends"
        try:
            if get(self.proxy, "/ready").status != 200:
                return "the proxy is not live: it waits for its configuration, or for certificates"
            lines = get(self.proxy, "/listeners").body.decode(errors="replace").splitlines()
            missing = LISTENERS.difference(line.partition("::")[0] for line in lines)
            if missing:
                return f"the proxy does not listen ({', '.join(sorted(missing))}): is a port taken? Its log says"
            for each in self.authorizers:
                if get(each, "/readyz").status != 200:
                    return f"the authorizer at {each} is not ready"
        except EnvironmentUnfitError as error:
            return str(error)
        return None


def build_status(pod: PodEnvironment, readiness: Readiness) -> FastAPI:
    """The application."""
    status = FastAPI(title="extauthz sidecar", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @status.get("/healthz/ready")
    async def ready() -> Response:
        problem = await run_in_threadpool(readiness.problem)
        return PlainTextResponse("ready\n") if problem is None else PlainTextResponse(f"{problem}\n", 503)

    @status.get("/stats/prometheus")
    async def metrics() -> Response:
        return Response(await run_in_threadpool(_metrics, pod, readiness), media_type=_METRICS_TYPE)

    @status.get("/app-health/{container}/{probe}")
    async def health(container: str, probe: str) -> Response:
        return await _probe(pod, f"/app-health/{container}/{probe}")

    @status.get("/app-lifecycle/{container}/{hook}")
    async def lifecycle(container: str, hook: str) -> Response:
        return await _probe(pod, f"/app-lifecycle/{container}/{hook}")

    return status


async def _probe(pod: PodEnvironment, path: str) -> Response:
    probe = pod.probes.get(path)
    if probe is None:
        return PlainTextResponse("the application has no such probe\n", 404)
    found = await run_in_threadpool(run_probe, probe, pod.address)
    return Response(found.body, found.status, media_type="text/plain")


def _metrics(pod: PodEnvironment, readiness: Readiness) -> bytes:
    """The proxy's, the authorizers' and the application's; a part that cannot be had is a comment that says so."""
    parts: list[tuple[str, Callable[[], Answer]]] = [
        ("proxy", lambda: get(readiness.proxy, "/stats/prometheus")),
        *((f"authorizer at {each}", _getter(each, "/metrics")) for each in readiness.authorizers),
    ]
    if pod.scrape is not None:
        where, path = TcpAddress(pod.address, pod.scrape.port), pod.scrape.path
        source = "::6" if ":" in pod.address else "127.0.0.6"
        parts.append(("application", lambda: get(where, path, source=source)))
    return b"".join(_part(name, fetch) for name, fetch in parts)


def _getter(address: Address, path: str) -> Callable[[], Answer]:
    return lambda: get(address, path)


def _part(name: str, fetch: Callable[[], Answer]) -> bytes:
    try:
        found = fetch()
    except EnvironmentUnfitError as error:
        return f"# the metrics of the {name} are missing: {error}\n".encode()
    if found.status != 200:
        return f"# the metrics of the {name} are missing: status {found.status}\n".encode()
    return found.body if found.body.endswith(b"\n") else found.body + b"\n"
