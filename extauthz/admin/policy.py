"""/v1/policy: the policy set in force, and why the files' latest state is not."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from extauthz.model.policy import Route
from extauthz.telemetry.status import ServiceStatus
from extauthz.telemetry.timestamp import rfc3339


def policy_router(status: ServiceStatus) -> APIRouter:
    """Answers from `status`."""
    router = APIRouter()

    @router.get("/v1/policy")
    async def policy() -> JSONResponse:
        served, failed = status.policy, status.failed_load
        failure = None if failed is None else {"at": rfc3339(failed.at), "message": failed.message}
        if served is None:
            return JSONResponse({"name": None, "failed_load": failure}, 503)
        policy_set = served.policy_set
        providers = [*(p.name for p in policy_set.providers), *(p.name for p in policy_set.api_key_providers)]
        return JSONResponse(
            {
                "name": policy_set.name,
                "revision": policy_set.revision,
                "loaded_at": rfc3339(served.loaded_at),
                "warnings": [warning.render() for warning in served.warnings],
                "failed_load": failure,
                "providers": sorted(providers),
                "roles": sorted(policy_set.roles),
                "routes": [describe_route(route) for route in policy_set.routes],
            }
        )

    return router


def describe_route(route: Route) -> dict[str, Any]:
    """A route as the author sees it, with the rules that apply there."""
    return {
        "name": route.name,
        "host": None if route.host is None else str(route.host),
        "path": route.path.text,
        "methods": None if route.methods is None else sorted(route.methods),
        "authentication": route.authentication,
        "public": route.public,
        "providers": route.providers,
        "deny": [rule.id for rule in route.deny],
        "require": [rule.id for rule in route.require],
        "allow": [rule.id for rule in route.allow],
        "defined_at": str(route.span),
    }
