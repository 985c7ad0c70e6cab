"""The decision log: one JSON line an answer, written away from the hot path.

A line says what was decided, by which rules and how long it took. It never holds a path, a query, a header, a token or
a body; the subject is written as the operator chose.
"""

from __future__ import annotations

import hmac
import json
import random
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from extauthz.check.answer import Answer
from extauthz.check.response import status_of
from extauthz.model.decision import Decision, Effect, PolicyId, Reason
from extauthz.telemetry.line_log import LineLog
from extauthz.telemetry.sink import Sink
from extauthz.telemetry.timestamp import rfc3339


class SubjectForm(StrEnum):
    """How a line names the caller."""

    PLAIN = "plain"
    HMAC = "hmac"
    """HMAC-SHA-256 over provider and subject: the same caller has the same pseudonym under the same key."""
    OFF = "off"


class Sampling(NamedTuple):
    """Which part of the answers is logged, by effect: 1 is every one. Could-not-decide is a denial."""

    allow: float
    deny: float


EVERY_ANSWER: Final = Sampling(1.0, 1.0)


class _Record(NamedTuple):
    at: float
    decision_id: str
    decision: Decision
    revision: str
    seconds: float


class DecisionLog:
    """Takes answers, writes lines. `record` and `run` belong to one event loop."""

    def __init__(
        self,
        sink: Sink,
        *,
        subject: SubjectForm,
        key: bytes,
        clock: Callable[[], float],
        on_failure: Callable[[OSError], None],
        sampling: Sampling = EVERY_ANSWER,
    ) -> None:
        """Take answers from now on.

        Args:
            sink: where the lines go; closed by `run`.
            subject: how the caller is named.
            key: of the pseudonyms, for `SubjectForm.HMAC`.
            clock: seconds since the epoch.
            on_failure: told, in a thread, when writing fails, and not again until it succeeded in between; and at the
                end, when lines were left.
            sampling: which answers are logged.
        """
        self._lines: LineLog[_Record] = LineLog(sink, self._format, name="decision-log", on_failure=on_failure)
        self._subject = subject
        self._key = key
        self._clock = clock
        self._sampling = sampling
        self._left_out = 0

    @property
    def dropped(self) -> int:
        """Records lost since the start: they did not fit, or could not be written."""
        return self._lines.dropped

    @property
    def left_out(self) -> int:
        """Answers that sampling left out since the start."""
        return self._left_out

    def record(self, answer: Answer, revision: str, seconds: float) -> None:
        """Queue one answer given under the policy set of this revision. The hot path."""
        rate = self._rate(answer.decision.effect)
        if rate < 1 and random.random() >= rate:  # noqa: S311 - chance decides what is logged, nothing else
            self._left_out += 1
        else:
            self._lines.put(_Record(self._clock(), answer.decision_id, answer.decision, revision, seconds))

    async def run(self) -> None:
        """Write lines until cancelled; then write what is left, as far as the sink takes it in time."""
        await self._lines.run()

    def _rate(self, effect: Effect) -> float:
        return self._sampling.allow if effect is Effect.ALLOW else self._sampling.deny

    def _format(self, record: _Record) -> str:
        decision = record.decision
        return _LINE % (
            rfc3339(record.at),
            record.decision_id,
            _format_shape(
                decision.effect,
                decision.reason,
                status_of(decision),
                decision.route,
                decision.policies,
                decision.errors,
                record.revision,
                decision.provider,
                self._rate(decision.effect),
            ),
            self._name_subject(decision),
            record.seconds * 1e6,
        )

    def _name_subject(self, decision: Decision) -> str:
        """The subject as JSON."""
        if decision.subject is None or self._subject is SubjectForm.OFF:
            return "null"
        if self._subject is SubjectForm.PLAIN:
            return json.dumps(decision.subject)
        # The separator cannot occur in a provider's name, so no two callers share a text.
        identity = f"{decision.provider}\0{decision.subject}".encode("utf-8", "surrogatepass")
        return f'"{hmac.digest(self._key, identity, "sha256").hex()}"'


SCHEMA_VERSION: Final = 1
"""Raised when a member is removed or changes its meaning; new members may come without."""

_LINE: Final = f'{{"version":{SCHEMA_VERSION},' + '"time":"%s","decision_id":"%s",%s,"subject":%s,"duration_us":%.0f}\n'


@lru_cache(maxsize=4096)
def _format_shape(  # noqa: PLR0913, PLR0917 - lru_cache keys by position
    effect: Effect,
    reason: Reason,
    status: int,
    route: str | None,
    policies: tuple[PolicyId, ...],
    errors: tuple[PolicyId, ...],
    revision: str,
    provider: str | None,
    sample_rate: float,
) -> str:
    """The members that many lines share, without braces."""
    members = {
        "effect": str(effect),
        "reason": str(reason),
        "status": status,
        "route": route,
        "policies": policies,
        "errors": errors,
        "revision": revision,
        "provider": provider,
        "sample_rate": sample_rate,
    }
    return json.dumps(members, separators=(",", ":"))[1:-1]
