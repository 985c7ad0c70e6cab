"""The schema of the decision log's lines, for whoever reads them (JSON Schema, draft 2020-12).

INVARIANT: as long as the version stays, members are only added. A reader ignores members that it does not know; the
schema allows them for that reason.
"""

from __future__ import annotations

from typing import Any, Final

from extauthz.check.response import DECISION_ID_LENGTH
from extauthz.model.decision import Effect, Reason
from extauthz.telemetry.decision_log import SCHEMA_VERSION

_NAME_OR_NULL: Final = {"type": ["string", "null"]}
_RULES: Final = {"type": "array", "items": {"type": "string"}}


def decision_log_schema() -> dict[str, Any]:
    """The schema of one line, of the version that is written."""
    members: dict[str, dict[str, Any]] = {
        "version": {"const": SCHEMA_VERSION, "description": "Of this schema."},
        "time": {
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
            "description": "When the answer was sent: RFC 3339, UTC.",
        },
        "decision_id": {
            "type": "string",
            "pattern": f"^[0-9a-f]{{{DECISION_ID_LENGTH}}}$",
            "description": "Also in the body of a denial and in Envoy's dynamic metadata.",
        },
        "effect": {"enum": [str(effect) for effect in Effect]},
        "reason": {
            "enum": sorted(str(reason) for reason in Reason),
            "description": "Why. Reasons may be added, and none changes its meaning.",
        },
        "status": {
            "type": "integer",
            "minimum": 200,
            "maximum": 599,
            "description": "What the client got, if it was refused; 200 for an allow.",
        },
        "route": {**_NAME_OR_NULL, "description": "The route that owns the request; null when none does."},
        "policies": {**_RULES, "description": "The rules that determined the effect."},
        "errors": {**_RULES, "description": "The rules that could not be evaluated."},
        "revision": {"type": "string", "description": "The policy set's; empty before one was loaded."},
        "provider": {**_NAME_OR_NULL, "description": "Who vouched for the caller; null for nobody."},
        "sample_rate": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "The part of this effect's answers that is logged: a line stands for 1 / sample_rate.",
        },
        "subject": {
            **_NAME_OR_NULL,
            "description": "The caller, plain or as HMAC-SHA-256 in hex.",
        },
        "duration_us": {
            "type": "integer",
            "minimum": 0,
            "description": "Microseconds from the call's arrival to its answer's departure.",
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of the decision log of extauthz",
        "type": "object",
        "properties": members,
        "required": list(members),
    }
