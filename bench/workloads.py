"""What is asked, of which server, and what must come of it.

Every message is what Envoy sends under the generated configuration (`encode_raw_headers`; to peers, which may not read
those, as without it), with a token of about 560
bytes, signed by a 2,048-bit RSA key, with three roles; the message is close to 1,000 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from bench.policy import AUDIENCE, ISSUER
from extauthz.check.response import ANSWERS
from extauthz.demo.issuer import SigningKey, token_claims
from extauthz.model.decision import Reason

SMALL, MEDIUM, LARGE = 10, 1_000, 10_000
"""The sizes of policy sets, in routes."""

DISTINCT_TOKENS: Final = 1_000
HOUR_SECONDS: Final = 3600.0

ORDER: Final = "/orders-3/o-1042"
OWNED_ORDER: Final = "/owned/orders/o-1042"
USERS: Final = "/admin/users/7"
HEALTH: Final = "/healthz"


class WrongReplyError(Exception):
    """A server that answered something else than it should: its speed says nothing."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reply to a message must say."""

    reason: Reason
    user: str | None = None
    """The value of x-user for the upstream."""

    @property
    def code(self) -> int:
        """google.rpc.Code."""
        return ANSWERS[self.reason].code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return ANSWERS[self.reason].status


@dataclass(frozen=True, slots=True)
class Question:
    """One serialised CheckRequest."""

    message: bytes
    expected: Expected


class Kind(StrEnum):
    """What a server does."""

    EMPTY = "empty"
    """Answers nothing, on h2corn."""
    EMPTY_GO = "empty-go"
    """Answers nothing, by gRPC's library for Go."""
    ROUTES = "routes"
    """The authorizer under a set of so many routes."""
    REGO = "rego"
    """The authorizer under a set whose rule is Rego."""
    PEER = "peer"
    """Somebody else's authorizer, which runs already."""


@dataclass(frozen=True, slots=True, order=True)
class Served:
    """A server."""

    kind: Kind
    size: int = 0
    """Routes of its policy set."""
    transport: str = "h2corn"
    is_lean: bool = False
    """Without a decision log."""
    address: str = ""
    """Where a peer is."""

    @property
    def is_empty(self) -> bool:
        return self.kind in {Kind.EMPTY, Kind.EMPTY_GO}


EMPTY: Final = Served(Kind.EMPTY)


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions for one server, asked in turn when there are several. All expect the same reason."""

    name: str
    what: str
    served: Served
    questions: tuple[Question, ...]

    @property
    def takes_turns(self) -> bool:
        """Whether the client looks into every reply: several callers, or a server whose counts cannot be asked for."""
        return len(self.questions) > 1 or self.served.kind is Kind.PEER

    @property
    def base(self) -> str:
        """The name of what it is compared with: the empty handler, asked in the same way."""
        return "empty-turns" if self.takes_turns else "empty"


def build_workloads(
    key: SigningKey, now: float, *, has_go: bool = False, peers: Mapping[str, str] | None = None
) -> list[Workload]:
    """All workloads, the empty handler's first.

    Args:
        key: signs the tokens; the policy sets trust it.
        now: seconds since the epoch; tokens are valid for an hour.
        has_go: whether a server in Go can be built.
        peers: addresses of authorizers that run already, by name.
    """
    write = _Writer(key, now)
    allow = write(ORDER, Expected(Reason.ALLOWED, "alice"), "alice")
    plain = write(ORDER, Expected(Reason.ALLOWED, "alice"), "alice", raw=False)
    names = [f"user-{number:04}" for number in range(DISTINCT_TOKENS)]
    distinct = tuple(write(ORDER, Expected(Reason.ALLOWED, name), name) for name in names)
    known = "known token, role, upstream header"
    small = Served(Kind.ROUTES, SMALL)
    return [
        Workload("empty", "an empty handler on h2corn", EMPTY, (allow,)),
        Workload("empty-turns", "the same, asked by the client that takes turns", EMPTY, distinct),
        *([Workload("empty-go", "an empty server of grpc-go", Served(Kind.EMPTY_GO), (allow,))] if has_go else []),
        Workload("allow", f"{known}; 10 routes", small, (allow,)),
        Workload("allow-lean", f"{known}; 10 routes, no decision log", replace(small, is_lean=True), (allow,)),
        Workload("allow-grpcio", f"{known}; 10 routes, over grpcio", replace(small, transport="grpcio"), (allow,)),
        Workload("allow-1000-routes", f"{known}; 1,000 routes", Served(Kind.ROUTES, MEDIUM), (allow,)),
        Workload("allow-10000-routes", f"{known}; 10,000 routes", Served(Kind.ROUTES, LARGE), (allow,)),
        Workload("allow-1000-tokens", f"{known}; 1,000 callers in turn", small, distinct),
        Workload(
            "allow-condition",
            "known token, CEL condition over path and claims, upstream header",
            small,
            (write(OWNED_ORDER, Expected(Reason.ALLOWED, "alice"), "alice"),),
        ),
        Workload(
            "allow-rego",
            "known token, Rego over three roles and prefixes, upstream header",
            Served(Kind.REGO),
            (allow,),
        ),
        Workload("allow-public", "public route, no token", small, (write(HEALTH, Expected(Reason.ALLOWED)),)),
        Workload(
            "deny-403",
            "known token, role not held",
            small,
            (write(USERS, Expected(Reason.NO_MATCHING_ALLOW), "alice"),),
        ),
        Workload(
            "deny-401-expired",
            "known token, expired",
            small,
            (write(ORDER, Expected(Reason.TOKEN_EXPIRED), "alice", lifetime_seconds=-HOUR_SECONDS),),
        ),
        Workload("deny-401-no-token", "no token", small, (write(ORDER, Expected(Reason.CREDENTIAL_MISSING)),)),
        *(
            Workload(
                name, f"peer at {address}: token, role, upstream header", Served(Kind.PEER, address=address), (plain,)
            )
            for name, address in (peers or {}).items()
        ),
    ]


class _Writer:
    """Writes questions."""

    def __init__(self, key: SigningKey, now: float) -> None:
        self._key = key
        self._now = now

    def __call__(
        self,
        path: str,
        expected: Expected,
        subject: str | None = None,
        *,
        lifetime_seconds: float = HOUR_SECONDS,
        raw: bool = True,
    ) -> Question:
        """A request for `path` with the token of `subject`, or without one; `raw`: as by `encode_raw_headers`."""
        token = None if subject is None else mint(self._key, self._now, subject, lifetime_seconds)
        message = CheckRequest()
        attributes = message.attributes
        attributes.source.address.socket_address.address = "10.0.7.12"
        attributes.source.address.socket_address.port_value = 51_234
        attributes.destination.address.socket_address.address = "10.0.0.5"
        attributes.destination.address.socket_address.port_value = 8443
        attributes.request.time.FromNanoseconds(int(self._now * 1e9))
        http = attributes.request.http
        http.id, http.method, http.path, http.host = "8541933219405823017", "GET", path, "shop.example"
        http.scheme, http.protocol = "https", "HTTP/2"
        for name, value in _headers(path, token):
            if raw:
                http.header_map.headers.add(key=name, raw_value=value.encode())
            else:
                http.headers[name] = value
        return Question(message.SerializeToString(), expected)


def mint(key: SigningKey, now: float, subject: str, lifetime_seconds: float = HOUR_SECONDS) -> str:
    """A token of this caller, with three roles."""
    return key.sign(
        token_claims(
            issuer=ISSUER,
            subject=subject,
            audience=AUDIENCE,
            now=now,
            lifetime_seconds=lifetime_seconds,
            claims={"roles": ["reader", "editor", "support"], "orders": ["o-1042", "o-1043"]},
        )
    )


def _headers(path: str, token: str | None) -> Iterator[tuple[str, str]]:
    yield from ((":authority", "shop.example"), (":method", "GET"), (":path", path), (":scheme", "https"))
    yield from (("user-agent", "shop-web/4.2"), ("accept", "application/json"), ("x-forwarded-proto", "https"))
    yield "x-request-id", "0ad3f9a2-4a8e-4e0a-9a60-2f6f3c1e7d11"
    if token is not None:
        yield "authorization", f"Bearer {token}"
