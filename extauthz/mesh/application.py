"""The webhook: POST /inject and /validate for API servers, GET /healthz for kubelets.

A call that is no call of an API server's is told so by its status (415, 400). Everything else is answered with 200
and an AdmissionReview: an API server takes any other status for a webhook that failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from extauthz import __version__
from extauthz.errors import ConfigurationError
from extauthz.mesh.admission import Review, ReviewError, Verdict, parse_review, render_answer
from extauthz.mesh.injection import consider
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.json_patch import diff
from extauthz.mesh.policy_admission import judge_config_map
from extauthz.mesh.template import Origin
from extauthz.telemetry.logging import Logger

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""An API server takes objects of 3 MiB at most, and sends the old one beside the new."""

# The short forms in which an injector's address names what it is for.
_SHORT: Final = {"cluster": "ISTIO_META_CLUSTER_ID", "net": "ISTIO_META_NETWORK"}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def build_webhook(settings: InjectorSettings, logger: Logger) -> FastAPI:
    """The application."""
    application = FastAPI(title="extauthz mesh", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @application.post("/inject")
    @application.post("/inject/{pairs:path}")
    async def inject(request: Request, pairs: str = "") -> Response:
        """A pod is to be created: does it get a sidecar, and which?"""
        return await _answer(request, lambda review: judge_pod(review, settings, pairs), logger)

    @application.post("/validate")
    async def validate(request: Request) -> Response:
        """A ConfigMap is to be written: would the policy set in it be served?"""
        return await _answer(request, _judge_config_map, logger)

    @application.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    return application


def judge_pod(review: Review, settings: InjectorSettings, pairs: str = "") -> Verdict:
    """What becomes of a pod.

    Args:
        review: what is asked.
        settings: what to inject.
        pairs: `name/value/name/value`: further variables of the proxy.

    Raises:
        ConfigurationError: the pod must not run like this.
    """
    if review.kind != "Pod" or review.operation != "CREATE":
        return Verdict(allowed=True)
    outcome = consider(review.object, settings, Origin(review.namespace, _environment(pairs)))
    if outcome.injected is None:
        return Verdict(allowed=True)
    return Verdict(allowed=True, patch=tuple(diff(review.object, outcome.injected)))


def _judge_config_map(review: Review) -> Verdict:
    if review.kind != "ConfigMap" or review.operation not in {"CREATE", "UPDATE"}:
        return Verdict(allowed=True)
    return judge_config_map(review.object)


async def _answer(request: Request, judge: Callable[[Review], Verdict], logger: Logger) -> Response:
    # RFC 9110 section 8.3.1: parameters may follow.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return PlainTextResponse("send an AdmissionReview as application/json\n", 415)
    body = await request.body()
    if not body:
        return PlainTextResponse("the request has no body\n", 400)
    return JSONResponse(await run_in_threadpool(answer_review, body, judge, logger))


def answer_review(body: bytes, judge: Callable[[Review], Verdict], logger: Logger) -> Mapping[str, object]:
    """The AdmissionReview that answers one, whatever it holds and whatever goes wrong."""
    try:
        review = parse_review(body)
    except ReviewError as error:
        logger.warning("review_malformed", error=str(error))
        return render_answer(Verdict(allowed=False, message=str(error)), version=error.version, uid=error.uid)
    try:
        verdict = judge(review)
    except ConfigurationError as error:
        verdict = Verdict(allowed=False, message=str(error))
    except Exception:
        # Fails closed, with an answer: without one, the API server's failurePolicy would decide.
        logger.exception("review_failed", uid=review.uid, kind=review.kind, namespace=review.namespace)
        verdict = Verdict(allowed=False, message="extauthz failed to judge this; its log says why")
    logger.info(
        "reviewed",
        uid=review.uid,
        kind=review.kind,
        namespace=review.namespace,
        allowed=verdict.allowed,
        patched=bool(verdict.patch),
        message=verdict.message,
    )
    return render_answer(verdict, version=review.version, uid=review.uid)


def _environment(pairs: str) -> Mapping[str, str]:
    words = pairs.split("/") if pairs else []
    names = [_SHORT.get(word, word) for word in words[::2]]
    if len(words) % 2 or not all(_VARIABLE.fullmatch(name) for name in names):
        raise ConfigurationError(f"the webhook's address is wrong: /inject/{pairs}: write /inject/NAME/VALUE/...")
    return dict(zip(names, words[1::2], strict=True))
