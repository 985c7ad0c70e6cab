"""How requests are answered, as records of `runtime/reply.py`: what the authorizer answers for the same reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from extauthz.authn.challenge import challenge_for
from extauthz.lowering.wasm.data import Data
from extauthz.model.decision import Reason
from extauthz.model.policy import ResponseFormat, ResponseSettings

_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}
STATUS: Mapping[Reason, int] = {
    Reason.PATH_AMBIGUOUS: 400,
    Reason.HOST_INVALID: 400,
    Reason.CREDENTIAL_MISSING: 401,
    Reason.TOKEN_MALFORMED: 401,
    Reason.NO_ROUTE: 403,
    Reason.DENIED_BY_POLICY: 403,
    Reason.REQUIREMENT_FAILED: 403,
    Reason.EVALUATION_ERROR: 403,
    Reason.NO_MATCHING_ALLOW: 403,
    Reason.INSUFFICIENT_SCOPE: 403,
    Reason.UPSTREAM_HEADER_INVALID: 403,
}
"""Of the reasons for which a module denies."""
_ID = "\0"


class Answers:
    """Makes answers under one policy set's settings, each once."""

    def __init__(self, data: Data, responses: ResponseSettings) -> None:
        self.data = data
        self.responses = responses
        self._denials: dict[tuple[Reason, tuple[str, ...]], int] = {}

    def allow(self, reason: Reason) -> int:
        return self.data.numbers((1, 0, self.data.text(f"allow {reason}"), 0, 0, 0, 0, 0, 0))

    def deny(self, reason: Reason, scopes: Sequence[str] = ()) -> int:
        """The answer to a request that is denied for this reason; `scopes` are those that a challenge names."""
        key = (reason, tuple(scopes))
        if key not in self._denials:
            self._denials[key] = self._deny(reason, scopes)
        return self._denials[key]

    def _deny(self, reason: Reason, scopes: Sequence[str]) -> int:
        status = STATUS[reason]
        title = _TITLES[status]
        headers = {"cache-control": "no-store"}
        challenge = challenge_for(self.responses, reason, scopes)
        if challenge is not None:
            headers["www-authenticate"] = challenge
        media_type, before, after = _body(self.responses.format, status, title)
        typed = headers if media_type is None else {**headers, "content-type": media_type}
        text = self.data.text
        return self.data.numbers(
            (
                *(0, status, text(f"deny {reason}"), text(f"extauthz_{reason}")),
                *(text(before) if before else 0, text(after), text(title)),
                *(text(encoded(headers)), text(encoded(typed))),
            )
        )


def _body(response_format: ResponseFormat, status: int, title: str) -> tuple[str | None, str, str]:
    """The media type, and what stands before and after the id."""
    match response_format:
        case ResponseFormat.PROBLEM:
            problem = {"type": "about:blank", "title": title, "status": status, "decision_id": _ID}
            before, after = json.dumps(problem).split(json.dumps(_ID)[1:-1])
            return "application/problem+json", before, after
        case ResponseFormat.TEXT:
            return "text/plain; charset=utf-8", f"{title} (decision ", ")\n"
        case ResponseFormat.EMPTY:
            return None, "", ""


def encoded(headers: Mapping[str, str]) -> bytes:
    """As the host takes headers: how many, the lengths of all, then names and values, each with NUL behind it."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    sizes = b"".join(len(octets).to_bytes(4, "little") for pair in pairs for octets in pair)
    return len(pairs).to_bytes(4, "little") + sizes + b"".join(octets + b"\0" for pair in pairs for octets in pair)
