"""/metrics, in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from extauthz.telemetry.metrics import ServiceMetrics


def metrics_router(metrics: ServiceMetrics) -> APIRouter:
    """Exposes `metrics`."""
    router = APIRouter()

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def exposition() -> Response:
        """What was counted since the start, and the state of policy and keys."""
        # The type is set as a header, whole: as a media type it would get a second charset.
        return Response(await metrics.scrape(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router
