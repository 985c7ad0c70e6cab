"""Records of decisions, to be replayed under another policy set: requests whole but for their secrets.

INVARIANT: no token, cookie or key is written: credentials become what they proved, and other secrets are replaced.
What is not recorded is what the policy set did not decide: requests that cannot be read, and those that there was no
time, key or engine for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from extauthz.authoring.record import (
    KeyHolder,
    Record,
    RecordedCaller,
    RecordedDecision,
    RefusedCredential,
    UnseenCredential,
    Vouched,
    credential_headers,
    record_line,
)
from extauthz.authoring.suite import WrittenRequest
from extauthz.authorizer import Snapshot, caller_of
from extauthz.check.answer import Answer
from extauthz.errors import AuthnError, CredentialsAmbiguousError, DecidedError
from extauthz.model.access import AccessRequest
from extauthz.model.decision import Decision, Reason
from extauthz.telemetry.line_log import LineLog
from extauthz.telemetry.redaction import Redaction
from extauthz.telemetry.sink import Sink

CAPACITY: Final = 2048
"""Requests that may wait to be written; each holds its message, which may be large."""
PORTION: Final = 8
"""Records formatted in one go: each takes about as long as ten lines of the decision log."""

_NOT_OF_THE_SET: Final = frozenset(
    {
        Reason.REQUEST_MALFORMED,
        Reason.REQUEST_TOO_LARGE,
        Reason.KEY_SET_UNAVAILABLE,
        Reason.ENGINE_UNAVAILABLE,
        Reason.DEADLINE_EXCEEDED,
        Reason.OVERLOADED,
        Reason.INTERNAL_ERROR,
        Reason.POLICY_SET_NOT_LOADED,
    }
)


class _Entry(NamedTuple):
    at: float
    decision_id: str
    decision: Decision
    request: AccessRequest
    snapshot: Snapshot


class Recorder:
    """Takes answers, writes records. `record` and `run` belong to one event loop."""

    def __init__(
        self,
        sink: Sink,
        *,
        clock: Callable[[], float],
        on_failure: Callable[[OSError], None],
        on_unwritable: Callable[[Exception], None],
    ) -> None:
        """Take answers from now on.

        Args:
            sink: where the lines go; closed by `run`.
            clock: seconds since the epoch.
            on_failure: as for `LineLog`.
            on_unwritable: told why an answer could not be made a record, which is a fault of this program.
        """
        self._clock = clock
        self._on_unwritable = on_unwritable
        self._lines: LineLog[_Entry] = LineLog(
            sink, self._line, name="recorder", on_failure=on_failure, capacity=CAPACITY, portion=PORTION
        )
        self._unwritable = 0

    @property
    def dropped(self) -> int:
        """Records lost since the start."""
        return self._lines.dropped + self._unwritable

    def record(self, answer: Answer, snapshot: Snapshot | None) -> None:
        """Queue one answer given under the snapshot, if it is the set's. The hot path."""
        if answer.request is not None and snapshot is not None and answer.decision.reason not in _NOT_OF_THE_SET:
            entry = _Entry(self._clock(), answer.decision_id, answer.decision, answer.request, snapshot)
            self._lines.put(entry)

    async def run(self) -> None:
        """Write records until cancelled; then write what is left, as far as the sink takes it in time."""
        await self._lines.run()

    def _line(self, entry: _Entry) -> str:
        try:
            return record_line(_record(entry))
        except Exception as error:  # noqa: BLE001 - one request must not end the recording of all others
            self._unwritable += 1
            self._on_unwritable(error)
            return ""


def _record(entry: _Entry) -> Record:
    decision = entry.decision
    credentials = credential_headers(entry.snapshot.policy_set)
    redaction = Redaction(credentials)
    request = _request(entry.request, redaction)
    caller = _caller(entry, credentials, redaction)
    return Record(
        at=entry.at,
        decision_id=entry.decision_id,
        revision=entry.snapshot.revision,
        request=request,
        caller=caller,
        decision=RecordedDecision(decision.effect, decision.reason, decision.route, decision.policies, decision.errors),
        redacted=tuple(dict.fromkeys(redaction.places)),
    )


def _request(request: AccessRequest, redaction: Redaction) -> WrittenRequest:
    body = request.body
    return WrittenRequest(
        method=request.method,
        target=redaction.target(request.target),
        host=request.host,
        headers=tuple(
            (name, redaction.header(name, value))
            for name in request.header_names()
            for value in request.header_values(name)
        ),
        scheme=request.scheme,
        protocol=request.protocol,
        source_address=request.source_address,
        source_port=request.source_port,
        destination_address=request.destination_address,
        destination_port=request.destination_port,
        peer_identity=request.peer_identity,
        context_extensions={name: redaction.text(name, value) for name, value in request.context_extensions.items()},
        body=None if body is None else redaction.body(body),
        received_at=request.received_at,
    )


def _caller(entry: _Entry, credentials: Collection[str], redaction: Redaction) -> RecordedCaller:
    """Who was found to have sent it: found again, which takes no key and no time for a token that is known."""
    try:
        caller = caller_of(entry.request, entry.snapshot, entry.at)
    except (AuthnError, CredentialsAmbiguousError) as error:
        return RefusedCredential(error.reason)
    except DecidedError:
        caller = None  # there was no path or host, so nobody looked
    if caller is None:
        presents = any(entry.request.header_values(name) for name in credentials)
        return UnseenCredential() if presents else None
    if not caller.authenticated:
        return None
    provider = caller.provider or ""
    if any(provider == keys.name for keys in entry.snapshot.policy_set.api_key_providers):
        return KeyHolder(provider, caller.subject or "")
    return Vouched(provider, redaction.claims(caller.claims))
