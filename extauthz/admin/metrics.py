"""/metrics, in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from extauthz.telemetry.metrics import ServiceMetrics


def metrics_router(metrics: ServiceMetrics) -> APIRouter:
    """Exposes `metrics`."""
    router = APIRouter()

    @router.get("/metrics")
    async def exposition() -> Response:
        # The type is set as a header, whole: as a media type it would get a second charset.
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router
