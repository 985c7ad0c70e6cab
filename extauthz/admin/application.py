"""The FastAPI application of the private listener, put together from a router per resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from extauthz import __version__
from extauthz.admin.decide import decide_router
from extauthz.admin.document import document_router
from extauthz.admin.host_check import HostCheck
from extauthz.admin.metrics import metrics_router
from extauthz.admin.policy import policy_router
from extauthz.admin.probes import probes_router
from extauthz.check.answer import Answer
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.status import ServiceStatus


def build_admin(
    status: ServiceStatus,
    metrics: ServiceMetrics,
    decide: Callable[[bytes], Awaitable[Answer]],
    *,
    serves_api: bool,
    checks_host: bool,
) -> FastAPI:
    """The application.

    Args:
        status: the service's state.
        metrics: what to expose.
        decide: answers a serialised CheckRequest.
        serves_api: whether /v1/* is there: only where no other machine can reach it.
        checks_host: refuse names that are not this machine's: on a loopback port, where a browser may be led.
    """
    # FastAPI's own documentation pages load scripts from elsewhere into a page of this origin: there are none. The
    # document that they would show names no policy, but belongs to what it describes.
    application = FastAPI(
        title="extauthz",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json" if serves_api else None,
        responses={421: {"description": "The Host is no name of this machine."}} if checks_host else None,
    )
    application.include_router(probes_router(status))
    application.include_router(metrics_router(metrics))
    if serves_api:
        application.include_router(policy_router(status))
        application.include_router(decide_router(decide))
        application.include_router(document_router(application.openapi))
    if checks_host:
        application.add_middleware(HostCheck)
    return application
