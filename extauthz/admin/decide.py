"""/v1/decide: what would be answered to a CheckRequest. Counted and logged nowhere: nobody is let in by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from extauthz.check.answer import Answer
from extauthz.check.capture import message_from_json
from extauthz.check.response import ANSWERS
from extauthz.errors import RequestMalformedError


def decide_router(decide: Callable[[bytes], Awaitable[Answer]]) -> APIRouter:
    """Asks `decide`."""
    router = APIRouter()

    @router.post("/v1/decide")
    async def decide_on(request: Request) -> JSONResponse:
        # Exactly this type: a page elsewhere cannot send it without asking first (Fetch, section 3.2.2).
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _problem(415, "send a CheckRequest as application/json (the JSON form of the protobuf message)")
        try:
            message = message_from_json(await request.body())
        except RequestMalformedError as error:
            return _problem(400, str(error))
        return JSONResponse(describe_answer(await decide(message)))

    return router


def describe_answer(answer: Answer) -> dict[str, Any]:
    """A decision as JSON."""
    decision = answer.decision
    return {
        "decision_id": answer.decision_id,
        "effect": decision.effect,
        "reason": decision.reason,
        "status": ANSWERS[decision.reason].status,
        "route": decision.route,
        "policies": decision.policies,
        "errors": decision.errors,
        "provider": decision.provider,
        "subject": decision.subject,
        "upstream_headers": {"set": dict(decision.upstream.set), "remove": decision.upstream.remove},
        "www_authenticate": decision.challenge,
    }


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"status": status, "detail": detail}, status, media_type="application/problem+json")
