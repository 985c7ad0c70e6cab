"""The FastAPI application of the private listener, put together from a router per resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from extauthz import __version__
from extauthz.admin.certificate_check import CertificateCheck
from extauthz.admin.decide import decide_router
from extauthz.admin.document import document_router
from extauthz.admin.host_check import HostCheck
from extauthz.admin.metrics import metrics_router
from extauthz.admin.opa_health import opa_health_router
from extauthz.admin.policy import policy_router
from extauthz.admin.probes import probes_router
from extauthz.check.answer import Answer
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.status import ServiceStatus


@dataclass(frozen=True, slots=True)
class Guards:
    """Who is refused before anything else is looked at."""

    checks_host: bool
    """Refuse names that are not this machine's: on a loopback port, where a browser may be led."""
    checks_certificate: bool
    """Serve nothing but probes and metrics to callers without a certificate."""

    @property
    def refusals(self) -> dict[int | str, dict[str, Any]]:
        """How they answer, for the document."""
        refusals: dict[int | str, dict[str, Any]] = {}
        if self.checks_certificate:
            refusals[403] = {"description": "The caller has no certificate."}
        if self.checks_host:
            refusals[421] = {"description": "The Host is no name of this machine."}
        return refusals


def build_admin(
    status: ServiceStatus,
    metrics: ServiceMetrics,
    decide: Callable[[bytes], Awaitable[Answer]] | None,
    *,
    guards: Guards,
    serves_opa_health: bool = False,
) -> FastAPI:
    """The application.

    Args:
        status: the service's state.
        metrics: what to expose.
        decide: answers a serialised CheckRequest. None leaves /v1/* out: it is only there where no other machine can
            reach it, or none without a certificate.
        guards: who is refused.
        serves_opa_health: whether `/health` is there, where the probes of OPA's users look.
    """
    # FastAPI's own documentation pages load scripts from elsewhere into a page of this origin: there are none. The
    # document that they would show names no policy, but belongs to what it describes.
    application = FastAPI(
        title="extauthz",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if decide is None else "/v1/openapi.json",
        responses=guards.refusals,
    )
    application.include_router(probes_router(status))
    application.include_router(metrics_router(metrics))
    if serves_opa_health:
        application.include_router(opa_health_router(status))
    if decide is not None:
        application.include_router(policy_router(status))
        application.include_router(decide_router(decide))
        application.include_router(document_router(application.openapi))
    if guards.checks_certificate:
        application.add_middleware(CertificateCheck)
    if guards.checks_host:
        application.add_middleware(HostCheck)
    return application
