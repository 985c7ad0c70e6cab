"""The demo's requests and what must come of each: policies/shop, policies/rego and policies/mixed, seen from outside.

Expected is what the policies mean, not what the code does: whoever reads them can check this table by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from extauthz.model.access import JsonValue

AUDIENCE = "shop"
HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, and what their token says."""

    name: str
    """The token's `sub`."""
    claims: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))
    audience: str = AUDIENCE
    lifetime_seconds: float = HOUR_SECONDS
    algorithm: str = "ES256"
    tampered: bool = False
    """Whether the claims are changed after signing."""
    label: str = ""
    """How the table names the caller, when not by name."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a request."""

    status: str
    """The HTTP status, or `grpc N`."""
    reason: str | None
    """The decision's reason; None when Envoy answers by itself, without asking."""
    policies: tuple[str, ...] = ()
    """The rules that decided."""
    user: str | None = None
    """`x-user` as the upstream saw it."""


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """A request of the table."""

    method: str
    path: str
    caller: Caller | None
    expected: Expected
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    note: str = ""
    """What is special about it."""
    example: str = "shop"
    """The example set in front of which it is sent."""

    @property
    def is_grpc(self) -> bool:
        """Whether it is a gRPC call; `path` is then its method."""
        return self.expected.status.startswith("grpc ")


CUSTOMER = Caller("carol", {"roles": ["customer"], "orders": ["1001", "1003"]})
CLERK = Caller("alice", {"roles": ["clerk"]}, algorithm="RS256")
MANAGER = Caller("maria", {"roles": ["manager"]})
STOCK_KEEPER = Caller("sam", {"memberships": [{"store": "berlin", "job": "stock"}, {"store": "paris", "job": "cash"}]})
ADMIN = Caller("ada", {"roles": ["admin"]})
MACHINE = Caller("reporter", {"scope": "reports.read orders.read"})
SUSPENDED = Caller("alice", {"roles": ["clerk"], "suspended": True}, label="alice, suspended")
EXPIRED = Caller("alice", {"roles": ["clerk"]}, lifetime_seconds=-HOUR_SECONDS, label="alice, expired")
FOREIGN = Caller("alice", {"roles": ["clerk"]}, audience="bakery", label="alice, for the bakery")
FORGER = Caller("carol", {"roles": ["customer"]}, tampered=True, label="carol, tampered")

READER = Caller("ann", {"tenants": ["acme", "legacy"]})
EDITOR = Caller("ed", {"tenants": ["acme"], "edits": ["acme"]})
APPROVER = Caller("max", {"roles": ["approver"], "department": "books"})
CLOSED = Caller("mallory", {"roles": ["approver"], "department": "books"}, label="mallory, closed")

JSON = ("content-type", "application/json")
OFFICE = ("x-forwarded-for", "203.0.113.7")
ELSEWHERE = ("x-forwarded-for", "203.0.113.7, 198.51.100.9")
PREFLIGHT = (("origin", "https://app.shop.example"), ("access-control-request-method", "PUT"))

REQUESTS = (
    DemoRequest("GET", "/healthz", None, Expected("200", "allowed", ("health.public",))),
    DemoRequest("GET", "/items", None, Expected("200", "allowed", ("items.allow.visitor",))),
    DemoRequest("GET", "/items", CUSTOMER, Expected("200", "allowed", ("items.allow.visitor",), "carol")),
    DemoRequest("GET", "/orders", None, Expected("401", "credential_missing")),
    DemoRequest("GET", "/orders", CLERK, Expected("200", "allowed", ("list-orders.allow.staff",), "alice")),
    DemoRequest(
        *("GET", "/orders", CLERK, Expected("200", "allowed", ("list-orders.allow.staff",), "alice")),
        headers=(("x-user", "root"),),
        note="forges x-user",
    ),
    DemoRequest("GET", "/orders", EXPIRED, Expected("401", "token_expired")),
    DemoRequest("GET", "/orders", FOREIGN, Expected("401", "audience_mismatch")),
    DemoRequest("GET", "/orders", FORGER, Expected("401", "signature_invalid")),
    DemoRequest("GET", "/orders", SUSPENDED, Expected("403", "denied_by_policy", ("set.deny.suspended",))),
    DemoRequest("GET", "/orders/1001", CUSTOMER, Expected("200", "allowed", ("order.allow.owner",), "carol")),
    DemoRequest("GET", "/orders/1002", CUSTOMER, Expected("403", "no_matching_allow")),
    DemoRequest("GET", "/orders/1001;v=1", CUSTOMER, Expected("400", "path_ambiguous")),
    DemoRequest("GET", "/orders%2F1001", CUSTOMER, Expected("400", None), note="refused by Envoy"),
    DemoRequest("DELETE", "/orders/1001", MANAGER, Expected("403", "no_route")),
    DemoRequest(
        *("POST", "/orders", CLERK, Expected("200", "allowed", ("create-order.allow.within-limit",), "alice")),
        headers=(JSON,),
        body='{"total": 120}',
        note="total 120",
    ),
    DemoRequest(
        *("POST", "/orders", CLERK, Expected("403", "no_matching_allow")),
        headers=(JSON,),
        body='{"total": 5000}',
        note="total 5000",
    ),
    DemoRequest(
        *("POST", "/orders", MANAGER, Expected("200", "allowed", ("create-order.allow.unlimited",), "maria")),
        headers=(JSON,),
        body='{"total": 5000}',
        note="total 5000",
    ),
    DemoRequest(
        *("PUT", "/stores/berlin/stock", STOCK_KEEPER, Expected("200", "allowed", ("stock.allow.keeper",), "sam")),
        note="own store",
    ),
    DemoRequest(
        *("PUT", "/stores/paris/stock", STOCK_KEEPER, Expected("403", "no_matching_allow")),
        note="another store",
    ),
    DemoRequest("GET", "/reports/2026/q3", MACHINE, Expected("200", "allowed", ("reports.allow.reader",), "reporter")),
    DemoRequest("GET", "/reports/2026/q3", CLERK, Expected("403", "insufficient_scope")),
    DemoRequest(
        *("GET", "/admin/users/7", ADMIN, Expected("200", "allowed", ("/admin.allow.admin",), "ada")),
        headers=(OFFICE,),
        note="from the office",
    ),
    DemoRequest(
        *("GET", "/admin/users/7", ADMIN, Expected("403", "requirement_failed", ("/admin.require.office",))),
        headers=(ELSEWHERE,),
        note="from elsewhere",
    ),
    DemoRequest(
        *("OPTIONS", "/items/7", None, Expected("200", "preflight", ("edit-item.cors",))),
        headers=PREFLIGHT,
        note="CORS preflight",
    ),
    DemoRequest(
        *("POST", "/shop.Orders/Get", MACHINE),
        Expected("grpc 0", "allowed", ("get-order-grpc.allow.reader",), "reporter"),
        note="gRPC",
    ),
    DemoRequest("POST", "/shop.Orders/Get", CUSTOMER, Expected("grpc 7", "insufficient_scope"), note="gRPC"),
    DemoRequest(
        *("GET", "/documents/acme/7", READER, Expected("200", "allowed", ("documents.decision",), "ann")),
        note="decided in Rego",
        example="rego",
    ),
    DemoRequest(
        *("PUT", "/documents/acme/7", READER, Expected("403", "denied_by_policy", ("documents.decision",))),
        note="reads only",
        example="rego",
    ),
    DemoRequest(
        *("PUT", "/documents/acme/7", EDITOR, Expected("200", "allowed", ("documents.decision",), "ed")),
        example="rego",
    ),
    DemoRequest(
        *("GET", "/documents/legacy/7", READER, Expected("308", "denied_by_policy", ("documents.decision",))),
        note="has moved",
        example="rego",
    ),
    DemoRequest("GET", "/documents/acme/7", None, Expected("401", "credential_missing"), example="rego"),
    DemoRequest(
        *("POST", "/invoices/7/approval", APPROVER),
        Expected("200", "allowed", ("approve.allow.within-limit",), "max"),
        headers=(JSON,),
        body='{"amount": 900, "department": "books", "author": "ann"}',
        note="limit in Rego",
        example="mixed",
    ),
    DemoRequest(
        *("POST", "/invoices/7/approval", APPROVER, Expected("403", "no_matching_allow")),
        headers=(JSON,),
        body='{"amount": 9000, "department": "books", "author": "ann"}',
        note="beyond the limit",
        example="mixed",
    ),
    DemoRequest(
        *("POST", "/invoices/7/approval", APPROVER),
        Expected("403", "denied_by_policy", ("approve.deny.own",)),
        headers=(JSON,),
        body='{"amount": 900, "department": "books", "author": "max"}',
        note="their own",
        example="mixed",
    ),
    DemoRequest(
        *("GET", "/invoices/7", CLOSED, Expected("403", "denied_by_policy", ("set.deny.closed",))),
        example="mixed",
    ),
)


def examples() -> tuple[str, ...]:
    """The example sets, in the order of the table."""
    return tuple(dict.fromkeys(request.example for request in REQUESTS))


def requests_of(example: str) -> tuple[DemoRequest, ...]:
    """The rows about one example set."""
    return tuple(request for request in REQUESTS if request.example == example)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request, as the client, the upstream and Envoy's access log saw it."""

    request: DemoRequest
    actual: Expected
    decision_seen: bool = True
    """Whether the access log was there to read: reason and policies are in it alone."""

    @property
    def differences(self) -> tuple[str, ...]:
        """The names of the fields that were seen and are not as expected."""
        expected, actual = self.request.expected, self.actual
        names = ("status", "reason", "policies", "user") if self.decision_seen else ("status", "user")
        return tuple(name for name in names if getattr(expected, name) != getattr(actual, name))
