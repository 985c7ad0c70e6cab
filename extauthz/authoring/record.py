"""Recorded decisions: a request as it was decided, with who sent it in place of the credential, and what was decided.

One JSON object a line. A line holds no token, cookie or key: a verified token is its claims, an API key its holder, and
of a credential that was refused only the reason is left. Other secrets were replaced before (`redacted` names them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from extauthz.authoring.suite import WrittenRequest
from extauthz.errors import AuthnError, CredentialsAmbiguousError, DecidedError, ExtAuthzError
from extauthz.model.access import Claims
from extauthz.model.decision import Effect, Reason
from extauthz.model.policy import PolicySet

RECORD_VERSION: Final = 1
"""Raised when a member is removed or changes its meaning; new members may come without."""

_FAILURES: Final[tuple[type[DecidedError], ...]] = (*AuthnError.__subclasses__(), CredentialsAmbiguousError)
REFUSALS: Final = {each.reason: each for each in _FAILURES}
"""Why a credential is refused."""

_MISSING: Final = object()


class RecordRefusedError(ExtAuthzError):
    """A line that is no record; the message says what is wrong."""

    def __init__(self, message: str, path: tuple[str | int, ...] = (), column: int | None = None) -> None:
        """Say what is wrong, and where.

        Args:
            message: what.
            path: the member, from the outside in.
            column: the place in the line, where it is no JSON; counted from 1.
        """
        super().__init__(message)
        self.path = path
        self.column = column


@dataclass(frozen=True, slots=True)
class Vouched:
    """A caller with a token that was verified."""

    provider: str
    claims: Claims


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A caller with an API key."""

    provider: str
    subject: str


@dataclass(frozen=True, slots=True)
class RefusedCredential:
    """A caller whose credential proved nothing."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class UnseenCredential:
    """A caller who may have a credential: nobody looked at it."""


RecordedCaller: TypeAlias = Vouched | KeyHolder | RefusedCredential | UnseenCredential | None
"""None: nothing was presented."""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """What was decided."""

    effect: Effect
    reason: Reason
    route: str | None
    policies: tuple[str, ...]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One decision."""

    at: float
    """When it was made, epoch seconds."""
    decision_id: str
    revision: str
    """Of the policy set."""
    request: WrittenRequest
    caller: RecordedCaller
    decision: RecordedDecision
    redacted: tuple[str, ...] = ()
    """What is not as it was, as in `header:cookie`."""


def credential_headers(policy_set: PolicySet) -> frozenset[str]:
    """Where credentials stand, by lower-case name."""
    tokens = {location.header or "cookie" for provider in policy_set.providers for location in provider.tokens}
    return frozenset(tokens | {provider.header for provider in policy_set.api_key_providers})


def record_line(record: Record) -> str:
    """The record as one line, with its break."""
    request, decision = record.request, record.decision
    document = {
        "version": RECORD_VERSION,
        "time": datetime.fromtimestamp(record.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "decision_id": record.decision_id,
        "revision": record.revision,
        "request": {
            "method": request.method,
            "target": request.target,
            "host": request.host,
            "headers": request.headers,
            "scheme": request.scheme,
            "protocol": request.protocol,
            "source": {"address": request.source_address, "port": request.source_port},
            "destination": {"address": request.destination_address, "port": request.destination_port},
            "workload": request.peer_identity,
            "context_extensions": dict(request.context_extensions),
            "body": None if request.body is None else request.body.decode(),
            "received_at": request.received_at,
        },
        "caller": _caller_document(record.caller),
        "decision": {
            "effect": decision.effect,
            "reason": decision.reason,
            "route": decision.route,
            "policies": decision.policies,
            "errors": decision.errors,
        },
        "redacted": record.redacted,
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _caller_document(caller: RecordedCaller) -> Mapping[str, object] | None:
    match caller:
        case None:
            return None
        case Vouched(provider, claims):
            return {"provider": provider, "claims": dict(claims)}
        case KeyHolder(provider, subject):
            return {"provider": provider, "subject": subject}
        case RefusedCredential(reason):
            return {"refused": reason}
        case UnseenCredential():
            return {"unseen": True}


def read_record(line: str) -> Record:
    """The record of one line.

    Raises:
        RecordRefusedError: it holds none.
    """
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecordRefusedError(f"not JSON: {error.msg}", column=error.colno) from None
    except ValueError:
        raise RecordRefusedError("not a record: a number has too many digits") from None
    except RecursionError:
        raise RecordRefusedError("not a record: nested too deep") from None
    root = _Object(document, ())
    if root.get("version", int) != RECORD_VERSION:
        raise RecordRefusedError(f"records of version {RECORD_VERSION} are read, no other", ("version",))
    decision = root.object("decision")
    return Record(
        at=root.time("time"),
        decision_id=root.get("decision_id", str),
        revision=root.get("revision", str),
        request=_request(root.object("request")),
        caller=None if root.value.get("caller", _MISSING) is None else _caller(root.object("caller")),
        decision=RecordedDecision(
            effect=decision.choice("effect", Effect),
            reason=decision.choice("reason", Reason),
            route=decision.optional("route", str),
            policies=decision.texts("policies"),
            errors=decision.texts("errors"),
        ),
        redacted=root.texts("redacted"),
    )


def _request(written: _Object) -> WrittenRequest:
    source, destination = written.object("source"), written.object("destination")
    body = written.optional("body", str)
    return WrittenRequest(
        method=written.get("method", str),
        target=written.get("target", str),
        host=written.get("host", str),
        headers=written.pairs("headers"),
        scheme=written.get("scheme", str),
        protocol=written.get("protocol", str),
        source_address=source.get("address", str),
        source_port=source.get("port", int),
        destination_address=destination.get("address", str),
        destination_port=destination.get("port", int),
        peer_identity=written.get("workload", str),
        context_extensions=written.text_map("context_extensions"),
        body=None if body is None else body.encode("utf-8", "surrogatepass"),
        received_at=written.optional("received_at", float),
    )


def _caller(written: _Object) -> RecordedCaller:
    if "refused" in written.value:
        reason = written.choice("refused", Reason)
        if reason not in REFUSALS:
            raise RecordRefusedError("no credential is refused for this reason", (*written.path, "refused"))
        return RefusedCredential(reason)
    if "unseen" in written.value:
        return UnseenCredential()
    provider = written.get("provider", str)
    if "claims" in written.value:
        return Vouched(provider, written.object("claims").value)
    return KeyHolder(provider, written.get("subject", str))


@dataclass(slots=True)
class _Object:
    """A JSON object whose members are asked for by their types."""

    value: Any
    path: tuple[str | int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.value, dict):
            raise RecordRefusedError("an object is needed here", self.path)

    def get(self, name: str, kind: type[Any]) -> Any:
        value = self.value.get(name, _MISSING)
        if value is _MISSING:
            raise RecordRefusedError(f"the member {name!r} is missing", self.path)
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise RecordRefusedError(f"{_KINDS[kind]} is needed here", (*self.path, name))
        return value

    def optional(self, name: str, kind: type[Any]) -> Any:
        return None if self.value.get(name, _MISSING) is None else self.get(name, kind)

    def object(self, name: str) -> _Object:
        return _Object(self.get(name, dict), (*self.path, name))

    def choice(self, name: str, words: type[Any]) -> Any:
        text = self.get(name, str)
        try:
            return words(text)
        except ValueError:
            message = f"{text!r} is not known here: a newer extauthz may have written it"
            raise RecordRefusedError(message, (*self.path, name)) from None

    def texts(self, name: str) -> tuple[str, ...]:
        items = self.get(name, list)
        for number, item in enumerate(items):
            if type(item) is not str:
                raise RecordRefusedError("text is needed here", (*self.path, name, number))
        return tuple(items)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        items = self.get(name, list)
        for number, item in enumerate(items):
            if type(item) is not list or [*map(type, item)] != [str, str]:
                raise RecordRefusedError("a name and a value are needed here", (*self.path, name, number))
        return tuple((first, second) for first, second in items)

    def text_map(self, name: str) -> Mapping[str, str]:
        members: dict[str, str] = self.get(name, dict)
        for key, value in members.items():
            if type(value) is not str:
                raise RecordRefusedError("text is needed here", (*self.path, name, key))
        return members

    def time(self, name: str) -> float:
        text = self.get(name, str)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise RecordRefusedError("a time is needed here, as in 2026-03-02T10:00:00.000000Z", (*self.path, name))
        return moment.timestamp()


_KINDS: Final = {
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
