"""The question: who asks for what, under which circumstances.

`AccessRequest` is what reaches us of an HTTP request, not yet checked. `Facts` is the same request once its path and
host are canonical, its route is found and its caller is known: all that a condition may read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
Claims: TypeAlias = Mapping[str, JsonValue]
"""A token's payload after verification."""


class AccessRequest(Protocol):
    """One HTTP request as the proxy saw it. Attributes may be read lazily: read what you need, once."""

    @property
    def method(self) -> str:
        """The method, as sent (case-sensitive, RFC 9110 section 9.1)."""

    @property
    def target(self) -> str:
        """The request target: path and query, raw."""

    @property
    def host(self) -> str:
        """The Host or :authority, raw, port included."""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""

    @property
    def protocol(self) -> str:
        """`HTTP/1.1`, `HTTP/2`, ..."""

    def header_values(self, name: str) -> Sequence[str]:
        """All values of the header of this lower-case name, in order; bytes that are not UTF-8 as lone surrogates."""

    def header_names(self) -> Sequence[str]:
        """The lower-case names of all headers, each once, pseudo-headers left out."""

    @property
    def source_address(self) -> str:
        """The connection's peer, an IP address as text; empty when it is none (a Unix socket)."""

    @property
    def source_port(self) -> int:
        """The peer's port; 0 when it has none."""

    @property
    def destination_address(self) -> str:
        """The address the peer connected to; empty when unknown."""

    @property
    def destination_port(self) -> int:
        """The port the peer connected to; 0 when unknown."""

    @property
    def peer_identity(self) -> str:
        """The first URI SAN of the peer's verified certificate, else what the proxy names it by; empty without mTLS."""

    @property
    def context_extensions(self) -> Mapping[str, str]:
        """What the proxy's configuration adds for this route."""

    @property
    def body(self) -> bytes | None:
        """The whole body; None when the proxy did not send it, or only a part of it."""

    @property
    def received_at(self) -> float | None:
        """When the proxy received the request, seconds since the epoch; None when it does not say."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the outcome of authentication, after the provider's claim mapping and `may_assert`."""

    authenticated: bool
    subject: str | None = None
    provider: str | None = None
    roles: tuple[str, ...] = ()
    """Declared roles that the credential itself asserts, inheritance not expanded, bindings not applied."""
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    claims: Claims = field(default_factory=lambda: MappingProxyType({}))
    derived: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    """What rooms derived from it under the one policy set it was mapped for, each under its own key."""


ANONYMOUS = Principal(authenticated=False)


@dataclass(frozen=True, slots=True)
class RoleHolding:
    """The roles a caller holds on one request, inheritance expanded, bindings applied.

    INVARIANT: the two are disjoint. A role in `errored` is neither held nor known to be absent: a binding's condition
    that would have granted it could not be evaluated.
    """

    held: frozenset[str] = frozenset()
    errored: frozenset[str] = frozenset()


class Deadline(NamedTuple):
    """When a decision must be there, for conditions that could take longer."""

    at: float
    """Seconds, as `clock` counts them."""
    clock: Callable[[], float]


class Facts:
    """All that a rule may read about one request, and a place to keep what was derived from it.

    Lives for one decision on one thread; `memo` belongs to the rooms that derive (a CEL activation, a parsed body),
    each under its own key.
    """

    __slots__ = (
        "_roles",
        "deadline",
        "host",
        "memo",
        "now",
        "path",
        "path_variables",
        "principal",
        "request",
        "resolve_roles",
    )

    def __init__(
        self,
        *,
        request: AccessRequest,
        host: str,
        path: str,
        path_variables: Mapping[str, str],
        principal: Principal,
        now: float,
        resolve_roles: Callable[[Facts], RoleHolding],
        deadline: Deadline | None = None,
    ) -> None:
        self.request = request
        self.host = host
        """Canonical: lower case, no port, no trailing dot."""
        self.path = path
        """Canonical: decoded, no query; `/` + segments joined by `/`."""
        self.path_variables = path_variables
        self.principal = principal
        self.now = now
        """Seconds since the epoch."""
        self.resolve_roles = resolve_roles
        self.deadline = deadline
        """None: nobody waits."""
        self.memo: dict[str, object] = {}
        self._roles: RoleHolding | None = None

    @property
    def roles(self) -> RoleHolding:
        """The caller's roles on this request; bindings' conditions are evaluated at the first read."""
        if self._roles is None:
            self._roles = self.resolve_roles(self)
        return self._roles
