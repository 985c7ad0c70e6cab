"""/v1/policy: the policy set in force, and why the files' latest state is not."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from extauthz.model.policy import Authentication, Route
from extauthz.telemetry.status import FailedLoad, ServedPolicy, ServiceStatus
from extauthz.telemetry.timestamp import rfc3339


class FailedLoadView(BaseModel):
    """Why the latest load left the last good set in force."""

    at: str
    message: str


class RouteView(BaseModel):
    """A route as the author sees it, with the rules that apply there."""

    name: str
    host: str | None
    path: str
    methods: Sequence[str] | None = Field(description="null: any but CONNECT and TRACE.")
    authentication: Authentication
    public: bool
    providers: Sequence[str]
    deny: Sequence[str]
    require: Sequence[str]
    allow: Sequence[str]
    defined_at: str = Field(description="file:line:column")


class PolicyView(BaseModel):
    """The policy set in force."""

    name: str
    revision: str
    loaded_at: str
    warnings: Sequence[str]
    failed_load: FailedLoadView | None
    providers: Sequence[str]
    roles: Sequence[str]
    routes: Sequence[RouteView]


class NoPolicyView(BaseModel):
    """There is none yet."""

    name: None
    failed_load: FailedLoadView | None


def policy_router(status: ServiceStatus) -> APIRouter:
    """Answers from `status`."""
    router = APIRouter()

    @router.get(
        "/v1/policy",
        summary="The policy set in force",
        response_model=PolicyView,
        responses={503: {"model": NoPolicyView, "description": "No policy set is loaded yet."}},
    )
    async def policy() -> JSONResponse:
        """Its revision, routes and rules; and, when the files hold something else by now, why that is not in force."""
        failure = None if status.failed_load is None else describe_failure(status.failed_load)
        if status.policy is None:
            return JSONResponse(NoPolicyView(name=None, failed_load=failure).model_dump(mode="json"), 503)
        return JSONResponse(describe_policy(status.policy, failure).model_dump(mode="json"))

    return router


def describe_failure(failed: FailedLoad) -> FailedLoadView:
    return FailedLoadView(at=rfc3339(failed.at), message=failed.message)


def describe_policy(served: ServedPolicy, failure: FailedLoadView | None) -> PolicyView:
    policy_set = served.policy_set
    providers = [*(p.name for p in policy_set.providers), *(p.name for p in policy_set.api_key_providers)]
    return PolicyView(
        name=policy_set.name,
        revision=policy_set.revision,
        loaded_at=rfc3339(served.loaded_at),
        warnings=[warning.render() for warning in served.warnings],
        failed_load=failure,
        providers=sorted(providers),
        roles=sorted(policy_set.roles),
        routes=[describe_route(route) for route in policy_set.routes],
    )


def describe_route(route: Route) -> RouteView:
    return RouteView(
        name=route.name,
        host=None if route.host is None else str(route.host),
        path=route.path.text,
        methods=None if route.methods is None else sorted(route.methods),
        authentication=route.authentication,
        public=route.public,
        providers=route.providers,
        deny=[rule.id for rule in route.deny],
        require=[rule.id for rule in route.require],
        allow=[rule.id for rule in route.allow],
        defined_at=str(route.span),
    )
