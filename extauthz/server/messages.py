"""What supervisor and workers say to each other, over `extauthz.server.link`.

A worker is told to start, and called to prepare and then to commit a policy set: it listens after its first commit.
Preparing and committing are two steps so that a set that some worker cannot serve is refused for all of them, and so
that all change over within a moment. Key sets are told as they stand, always before the answer to whoever waits for
them. A worker calls with a `NeedKeySet`, tells what is to be logged, and at its end what it has counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from extauthz.authn.keyset import KeySetStanding
from extauthz.lowering.address import Address
from extauthz.model.engine import OpaEngine
from extauthz.server.decider import DeciderSettings
from extauthz.telemetry.decision_log import Sampling, SubjectForm
from extauthz.tls import Credentials

if TYPE_CHECKING:  # workers that are no drop-in do without what these need
    from extauthz.server.opa_decider import OpaDeciderSettings
    from extauthz.telemetry.opa_log import OpaLogForm

NO_LOG: Final = -1
"""The descriptor of a worker's decision log, or of its records, where there are none."""


# --- To a worker ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DecisionLogSettings:
    """How lines are written; where to, the supervisor knows."""

    subject: SubjectForm
    key: bytes
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Start:
    """The first message."""

    decider: DeciderSettings | OpaDeciderSettings
    """The latter has the worker be a drop-in for opa-envoy-plugin."""
    addresses: tuple[Address, ...]
    """Of the sockets, in the order of their descriptors."""
    drain_timeout_seconds: float
    credentials: Credentials | None
    decision_log: DecisionLogSettings | OpaLogForm | None
    """Of the kind that fits the decider."""
    traces: bool
    engine: OpaEngine | None = None
    records: bool = False
    """Whether answers are recorded, too."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Get ready to decide by this set; the answer is None, or why that is not possible."""

    policy_set: bytes
    """What the decider prepares, packed once for all workers."""
    keys: Mapping[bytes, KeySetStanding]
    """How its remote key sets stand, by `key_source_digest`."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Decide by what was prepared last, and listen; the answer is None, once that is so."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How a remote key set stands now."""

    source: bytes
    """Its `key_source_digest`."""
    standing: KeySetStanding


@dataclass(frozen=True, slots=True)
class ReplaceCredentials:
    """Serve new connections with these; the answer is None, or why that is not possible."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class ReportNotReady:
    """From now on, health checks are answered with NOT_SERVING."""


@dataclass(frozen=True, slots=True)
class ReadTally:
    """The answer is what was counted until now. Asked every second, it also shows that the worker is alive."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Listen no more, finish what is in flight, and end; the answer is None, once nobody listens any more."""


# --- To the supervisor ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something for the service's own log."""

    level: str
    name: str
    values: Mapping[str, Any]
