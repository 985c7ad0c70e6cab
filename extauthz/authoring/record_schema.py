"""The schema of recorded decisions, a line each, for whoever reads them (JSON Schema, draft 2020-12).

INVARIANT: as long as the version stays, members are only added. A reader ignores members that it does not know.
"""

from __future__ import annotations

from typing import Any, Final

from extauthz.authoring.record import RECORD_VERSION, REFUSALS
from extauthz.model.decision import Effect, Reason

_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_TEXT_MAP: Final = {"type": "object", "additionalProperties": _TEXT}


def record_schema() -> dict[str, Any]:
    """The schema of one line, of the version that is written."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recorded decision of extauthz",
        **_object(
            version={"const": RECORD_VERSION, "description": "Of this schema."},
            time={
                **_TEXT,
                "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
                "description": "When the decision was made: RFC 3339, UTC.",
            },
            decision_id={**_TEXT, "description": "As in the decision log."},
            revision={**_TEXT, "description": "The policy set's."},
            request=_request(),
            caller=_caller(),
            decision=_object(
                effect={"enum": [str(effect) for effect in Effect]},
                reason={"enum": sorted(str(reason) for reason in Reason), "description": "Why."},
                route={**_TEXT_OR_NULL, "description": "The route that owns the request."},
                policies={**_TEXTS, "description": "The rules that determined the effect."},
                errors={**_TEXTS, "description": "The rules that could not be evaluated."},
            ),
            redacted={**_TEXTS, "description": "Secrets that were replaced, as in header:cookie."},
        ),
    }


def _request() -> dict[str, Any]:
    pair = {"type": "array", "prefixItems": [_TEXT, _TEXT], "minItems": 2, "maxItems": 2}
    peer = _object(address=_TEXT, port={"type": "integer"})
    return _object(
        method=_TEXT,
        target={**_TEXT, "description": "Path and query."},
        host=_TEXT,
        headers={"type": "array", "items": pair, "description": "Names in lower case, with their values, in order."},
        scheme=_TEXT,
        protocol=_TEXT,
        source=peer,
        destination=peer,
        workload={**_TEXT, "description": "The SPIFFE ID, or other name, of the peer's certificate."},
        context_extensions=_TEXT_MAP,
        body={**_TEXT_OR_NULL, "description": "A JSON object; null when there is none, or another content."},
        received_at={"type": ["number", "null"], "description": "Epoch seconds, as the proxy says."},
    )


def _caller() -> dict[str, Any]:
    return {
        "description": "Who sent it: null when no credential was presented.",
        "anyOf": [
            {"type": "null"},
            {**_object(provider=_TEXT, claims={"type": "object"}), "description": "By a token: its verified claims."},
            {**_object(provider=_TEXT, subject=_TEXT), "description": "By an API key: its holder."},
            {
                **_object(refused={"enum": sorted(str(reason) for reason in REFUSALS)}),
                "description": "A credential that proved nothing.",
            },
            {**_object(unseen={"const": True}), "description": "A credential that nobody looked at."},
        ],
    }


def _object(**members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members)}
