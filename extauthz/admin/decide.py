"""/v1/decide: what would be answered to a CheckRequest. Counted and logged nowhere: nobody is let in by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from extauthz.check.answer import Answer
from extauthz.check.capture import message_from_json
from extauthz.check.response import status_of
from extauthz.errors import RequestMalformedError
from extauthz.model.decision import Effect, Reason


class UpstreamHeaders(BaseModel):
    """What the proxy would change in the request that it forwards."""

    set: dict[str, str]
    remove: Sequence[str]


class DecisionView(BaseModel):
    """A decision as JSON."""

    decision_id: str
    revision: str = Field(description="Of the policy set that decided; empty before one is loaded.")
    effect: Effect
    reason: Reason
    status: int = Field(description="What the client would get, if it is refused; 200 for an allow.")
    route: str | None = Field(description="The route that owns the request; null when none does.")
    policies: Sequence[str] = Field(description="The rules that determined the effect.")
    errors: Sequence[str] = Field(description="The rules that could not be evaluated.")
    provider: str | None = Field(description="Who vouched for the caller; null for nobody.")
    subject: str | None
    upstream_headers: UpstreamHeaders
    www_authenticate: str | None


class Problem(BaseModel):
    """Why there is no answer, as application/problem+json (RFC 9457)."""

    status: int
    detail: str


def decide_router(decide: Callable[[bytes], Awaitable[Answer]]) -> APIRouter:
    """Asks `decide`."""
    router = APIRouter()

    @router.post("/v1/decide", summary="Decide a CheckRequest", response_model=DecisionView, openapi_extra=_OPENAPI)
    async def decide_on(request: Request) -> JSONResponse:
        """What would be answered to this request now. It is counted and logged nowhere: nobody is let in by it."""
        # Exactly this type: a page elsewhere cannot send it without asking first (Fetch, section 3.2.2).
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _problem(415, "send a CheckRequest as application/json (the JSON form of the protobuf message)")
        try:
            message = message_from_json(await request.body())
        except RequestMalformedError as error:
            return _problem(400, str(error))
        return JSONResponse(describe_answer(await decide(message)).model_dump(mode="json"))

    return router


def describe_answer(answer: Answer) -> DecisionView:
    """For whoever asked."""
    decision = answer.decision
    return DecisionView(
        decision_id=answer.decision_id,
        revision=answer.revision,
        effect=decision.effect,
        reason=decision.reason,
        status=status_of(decision),
        route=decision.route,
        policies=decision.policies,
        errors=decision.errors,
        provider=decision.provider,
        subject=decision.subject,
        upstream_headers=UpstreamHeaders(set=dict(decision.upstream.set), remove=decision.upstream.remove),
        www_authenticate=decision.challenge,
    )


def _problem(status: int, detail: str) -> JSONResponse:
    problem = Problem(status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, media_type="application/problem+json")


# --- How the message is described ----------------------------------------------------------------------------------


def _message(**fields: Any) -> dict[str, Any]:
    """A message: null stands for one that is not set, and unknown names are refused (proto3 JSON mapping)."""
    return {"type": ["object", "null"], "properties": fields, "additionalProperties": False}


_TEXT: Final = {"type": ["string", "null"]}
_TEXTS: Final = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
_PEER: Final = _message(
    address=_message(
        socket_address=_message(
            address=_TEXT, port_value={"type": ["integer", "null"], "minimum": 0, "maximum": 2**32 - 1}
        )
    ),
    principal=_TEXT,
)
_HTTP: Final = _message(
    method=_TEXT,
    path={**_TEXT, "description": "With the query, as in the request line."},
    host=_TEXT,
    scheme=_TEXT,
    protocol=_TEXT,
    headers=_TEXTS,
    body=_TEXT,
)
_CHECK_REQUEST: Final = {
    **_message(
        attributes=_message(source=_PEER, destination=_PEER, request=_message(http=_HTTP), context_extensions=_TEXTS)
    ),
    "type": "object",
    "description": (
        "envoy.service.auth.v3.CheckRequest in proto3 JSON: the fields that most questions need. The others that the "
        "message has are taken as well."
    ),
    "example": {"attributes": {"request": {"http": {"method": "GET", "path": "/orders", "host": "shop.example"}}}},
}


def _problem_response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }


_OPENAPI: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _CHECK_REQUEST}}},
    "responses": {
        "400": _problem_response("Not a CheckRequest."),
        "415": _problem_response("Not application/json."),
    },
}
