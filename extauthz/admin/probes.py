"""/livez and /readyz, for an orchestrator."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from extauthz.telemetry.status import ServiceStatus
from extauthz.telemetry.timestamp import rfc3339


def probes_router(status: ServiceStatus) -> APIRouter:
    """Answers from `status`."""
    router = APIRouter()

    @router.get("/livez", summary="Whether the process runs", response_class=PlainTextResponse)
    async def livez() -> PlainTextResponse:
        """The event loop runs."""
        return PlainTextResponse("ok\n")

    @router.get(
        "/readyz",
        summary="Whether requests are decided",
        responses={503: {"model": dict[str, Any], "description": "No policy set is loaded, or the process drains."}},
    )
    async def readyz(response: Response) -> dict[str, Any]:
        """200 when requests are decided by a policy, else 503; what works only in part is named.

        A failed reload or a missing key set does not make the service unready: every other request is decided, and
        taking all replicas out of service for one issuer would answer none.
        """
        response.status_code = 200 if status.is_ready else 503
        policy = status.policy
        return {
            "ready": status.is_ready,
            "draining": status.is_draining,
            "policy": None
            if policy is None
            else {
                "name": policy.policy_set.name,
                "revision": policy.policy_set.revision,
                "loaded_at": rfc3339(policy.loaded_at),
            },
            "degraded": status.degraded,
            "key_sets": {
                provider: {
                    "state": key_set.state,
                    "fetched_at": None if key_set.fetched_at is None else rfc3339(key_set.fetched_at),
                    "failures": key_set.failures,
                }
                for provider, key_set in sorted(status.key_sets.items())
            },
        }

    return router
