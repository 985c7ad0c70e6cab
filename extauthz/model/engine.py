"""A remote engine: where it is, and what it said about a request that the policy set allows.

Its say is a `require` of every route: it can turn an allow into a denial, and never a denial into an allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extauthz.model.decision import Judgment, PolicyId, Reason

ENGINE_POLICY: Final = PolicyId("engine.opa")
"""Stands for its say among the policies that determined a decision."""


@dataclass(frozen=True, slots=True)
class OpaEngine:
    """Which OPA, and how it is asked; `sources.opa.check_engine` says what is wrong with one."""

    url: str
    """Its root: `http://127.0.0.1:8181`, with a path where it is served below one."""
    path: str
    """Of the decision below `data`: `shop/allow`."""
    timeout_seconds: float = 0.1
    connections: int = 64
    """At most so many at once, of each process that answers calls."""
    allow_http: bool = False
    """Whether plain http may leave this machine."""
    token_file: str | None = None
    """Holds a bearer token."""
    ca_file: str | None = None
    """The only authorities to believe (PEM); None takes the system's."""
    client_cert: str | None = None
    client_key: str | None = None
    """Our own certificate chain and its key (PEM), where OPA asks for one."""


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """Its say, or why there is none."""

    reason: Reason
    """ALLOWED, or why not: DENIED_BY_ENGINE (it said no, or nothing), EVALUATION_ERROR (its policy failed on this
    request, or what it said cannot be read), and where it could not be asked ENGINE_UNAVAILABLE or DEADLINE_EXCEEDED.
    """
    judgment: Judgment | None = None
    """What else it said, where it said more than yes or no."""
