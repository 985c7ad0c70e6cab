"""/health, where the probes of OPA's users look: OPA's health API, with `?plugins` and `?bundles`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from extauthz.telemetry.status import ServiceStatus


def opa_health_router(status: ServiceStatus) -> APIRouter:
    """Answers from `status`."""
    router = APIRouter()

    @router.get("/health", summary="Whether requests are decided, as OPA tells it")
    async def health(response: Response, plugins: str | None = None, bundles: str | None = None) -> dict[str, Any]:
        """200 and an empty object while the process serves; asked for plugins or bundles, 500 without a policy."""
        asks_for_policy = plugins is not None or bundles is not None
        is_healthy = status.is_ready if asks_for_policy else not status.is_draining
        response.status_code = 200 if is_healthy else 500
        return {} if is_healthy else {"error": "not ready: no policy has been loaded, or the process drains"}

    return router
