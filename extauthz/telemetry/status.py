"""The state of the service, as probes, metrics and the policy endpoint report it. Plain values; the app writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from extauthz.model.policy import PolicySet
from extauthz.model.source import Diagnostic


@dataclass(frozen=True, slots=True)
class ServedPolicy:
    """The policy set in force. Times are seconds since the epoch."""

    policy_set: PolicySet
    warnings: tuple[Diagnostic, ...]
    loaded_at: float


@dataclass(frozen=True, slots=True)
class FailedLoad:
    """Why the latest load left the last good set in force."""

    message: str
    at: float


class KeySetState(StrEnum):
    """What a provider's tokens can be verified with."""

    CURRENT = "current"
    STALE = "stale"
    """They should have been fetched again; while they are not too old, they are used."""
    MISSING = "missing"
    """Its tokens are answered with 503 until keys arrive."""


@dataclass(frozen=True, slots=True)
class KeySetStatus:
    """One remote key set. `fetched_at` is seconds since the epoch, None before the first success."""

    state: KeySetState
    fetched_at: float | None
    failures: int
    """Failed fetches since the start."""


class WorkersStatus(Protocol):
    """The worker processes, where there are any, as they are at this moment."""

    @property
    def count(self) -> int:
        """How many there are to be."""

    @property
    def serving(self) -> int:
        """How many answer calls."""

    @property
    def restarts(self) -> int:
        """How many had to be replaced since the start."""


class Listener(StrEnum):
    """What certificates are served for."""

    CALLS = "calls"
    """The proxies' calls."""
    ADMIN = "admin"
    """The private listener."""


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate that is served."""

    expires_at: float
    """Seconds since the epoch."""
    is_current: bool = True
    """Whether it is what the files hold now; if they cannot be used, it is the last one that could."""


@dataclass(slots=True)
class ServiceStatus:
    """Everything there is to know, mutable."""

    read_key_sets: Callable[[], Mapping[str, KeySetStatus]]
    """The remote key sets as they stand at this moment, by provider."""
    engine_is_left_alone: Callable[[], bool] = lambda: False
    """Whether some process does not ask the remote engine, because it has not answered lately."""
    policy: ServedPolicy | None = None
    failed_load: FailedLoad | None = None
    """None when the latest load succeeded."""
    failed_loads: int = 0
    is_draining: bool = False
    workers: WorkersStatus | None = None
    """None where calls are answered in this very process."""
    certificates: dict[Listener, CertificateStatus] = field(default_factory=dict)
    """Of the listeners that speak TLS."""

    @property
    def is_ready(self) -> bool:
        """Whether requests are decided by a policy, and will be."""
        return self.policy is not None and not self.is_draining and (self.workers is None or self.workers.serving > 0)

    @property
    def key_sets(self) -> Mapping[str, KeySetStatus]:
        return self.read_key_sets()

    @property
    def degraded(self) -> tuple[str, ...]:
        """What does not work although the service does: failed reloads, lost workers, an engine gone, old keys."""
        lacks_workers = self.workers is not None and self.workers.serving < self.workers.count
        named = [f"key_set:{name}" for name, k in sorted(self.key_sets.items()) if k.state is not KeySetState.CURRENT]
        reload, workers = ("policy_reload",) if self.failed_load else (), ("workers",) if lacks_workers else ()
        has_old = any(not certificate.is_current for certificate in self.certificates.values())
        certificate = ("certificate_reload",) if has_old else ()
        engine = ("engine",) if self.engine_is_left_alone() else ()
        return (*reload, *certificate, *workers, *engine, *named)
