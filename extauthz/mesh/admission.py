"""AdmissionReview, v1 and v1beta1 (admission.k8s.io): read with care, answered in the version it came in.

Whatever goes wrong is an answer that the API server understands: `allowed: false` with a message, under the review's
uid. It alone decides, by its failurePolicy, what a missing or unreadable answer means.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from extauthz.errors import ConfigurationError

Json: TypeAlias = dict[str, Any]

VERSIONS: Final = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class Review:
    """What is asked."""

    version: str
    uid: str
    kind: str
    operation: str
    namespace: str
    """Of the request; the object may not name one yet."""
    object: object


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is answered."""

    allowed: bool
    message: str = ""
    """Why not."""
    patch: Sequence[Json] = ()
    warnings: Sequence[str] = field(default=())
    """Shown to whoever asked, whatever the answer is."""


class ReviewError(ConfigurationError):
    """No review that can be judged; what is known of it goes into the answer."""

    def __init__(self, message: str, *, version: str = VERSIONS[0], uid: str = "") -> None:
        super().__init__(message)
        self.version = version
        self.uid = uid


def parse_review(body: bytes) -> Review:
    """Read a review.

    Raises:
        ReviewError: it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ReviewError("the request is no JSON") from None
    if not isinstance(document, dict):
        raise ReviewError("the request is no AdmissionReview")
    request = document.get("request")
    uid = request.get("uid") if isinstance(request, dict) else None
    uid = uid if isinstance(uid, str) else ""
    version = document.get("apiVersion")
    if version not in VERSIONS:
        raise ReviewError(f"apiVersion is none of {', '.join(VERSIONS)}", uid=uid)
    if document.get("kind") != "AdmissionReview" or not isinstance(request, dict) or not uid:
        raise ReviewError("the request is no AdmissionReview with a request that has a uid", version=version, uid=uid)
    return Review(
        version=version,
        uid=uid,
        kind=_text(_map(request, "kind").get("kind")),
        operation=_text(request.get("operation")),
        namespace=_text(request.get("namespace")) or _text(_map(_map(request, "object"), "metadata").get("namespace")),
        object=request.get("object"),
    )


def render_answer(verdict: Verdict, *, version: str, uid: str) -> Json:
    """The AdmissionReview that answers."""
    response: Json = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = {"message": verdict.message, "code": 403, "reason": "Forbidden"}
    elif verdict.patch:
        patch = json.dumps(verdict.patch, separators=(",", ":")).encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if verdict.warnings and version == VERSIONS[0]:  # v1beta1 of old servers has no such field
        response["warnings"] = list(verdict.warnings)
    return {"apiVersion": version, "kind": "AdmissionReview", "response": response}


def _map(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
