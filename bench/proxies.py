"""Envoys to put a load on: without authorization, with filters as one writes them by hand, and as we configure them.

Each answers by itself, with what an upstream would get as x-user in the response's `x-seen-user`. The policies are
those of `bench.policy`, whose first routes any set has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.policy import AUDIENCE, ISSUER
from bench.workloads import LARGE, MEDIUM, SMALL
from extauthz.lowering.address import TcpAddress, parse_address
from extauthz.lowering.bootstrap import Enforcement, authorizer_cluster, listener
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.enforcement import enforcement_of
from extauthz.lowering.mode import Mode
from extauthz.sources.policy_files import load

NONE: Final = "none"
BY_HAND: Final = "by hand"

DEADLINE_MS: Final = 5_000
"""Of a decision; Envoy waits twice as long. A busy machine is to show in the figures, not as a request refused."""
_FILTERS: Final = "envoy.extensions.filters.http"
_SEEN_USER: Final = "x-seen-user"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An Envoy."""

    kind: str
    """`none`, `by hand`, or a mode."""
    size: int = SMALL
    """Routes of the policy set."""
    transport: str | None = None
    """Of the authorizer, where every request is decided by one."""

    @property
    def name(self) -> str:
        """For tables."""
        return self.kind if self.transport is None else f"{self.kind}, {self.transport}"


def proxies(sizes: Sequence[int]) -> list[Proxy]:
    """All that are compared; native filters for 10,000 routes are hundreds of megabytes, which nobody would run."""
    compared = [Proxy(NONE)]
    for size in sizes:
        if size < LARGE:
            compared += [Proxy(BY_HAND, size), Proxy(Mode.NATIVE, size)]
        compared += [Proxy(Mode.WASM, size), Proxy(Mode.CHECK, size, "h2corn"), Proxy(Mode.CHECK, size, "grpcio")]
    return compared


SIZES: Final = (SMALL, MEDIUM, LARGE)


def bootstrap(proxy: Proxy, policy: Path, authorizer: str) -> dict[str, Any]:
    """Envoy's configuration; `authorizer` is where what Envoy does not decide is decided."""
    enforcement = _ENFORCEMENTS.get(proxy.kind, _ours)(proxy, policy)
    fields = connection_manager_fields(
        access_log=str(policy / "access.log"),
        log_fields=enforcement.log_fields,
        local_replies=enforcement.local_replies,
    )
    # The same for all: what is compared is what the filters cost.
    del fields["access_log"]
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": _SEEN_USER, "value": "%REQ(x-user)%"}}],
    }
    front = listener("front", TcpAddress("127.0.0.1", 0), enforcement.filters, fields, routes=[route])
    clusters = [authorizer_cluster(parse_address(authorizer)), *enforcement.clusters]
    return {"static_resources": {"clusters": clusters, "listeners": [front]}}


def _ours(proxy: Proxy, policy: Path) -> Enforcement:
    enforcement = enforcement_of(load([str(policy)]).parsed.policy_set, Mode(proxy.kind))
    if proxy.transport is not None:
        enforcement.filters[-1]["typed_config"]["grpc_service"]["timeout"] = f"{2 * DEADLINE_MS / 1000}s"
    return enforcement


def _nothing(_proxy: Proxy, _policy: Path) -> Enforcement:
    return Enforcement(filters=[])


def _by_hand(proxy: Proxy, policy: Path) -> Enforcement:
    """Who holds a role that reads may read: jwt_authn, and an RBAC policy for each route."""
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": (policy / "keys.json").read_text()},
        "forward": True,
        "payload_in_metadata": "payload",
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-user"}],
    }
    tokens = {
        "providers": {"corp": provider},
        "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    }
    # Envoy looks at policies by name until one matches: those that are asked for come last, as the worst case.
    policies = {"public": _rule({"exact": "/healthz"}, {"any": True})}
    readers = {"or_ids": {"ids": [_holds(role) for role in ("reader", "editor", "admin")]}}
    for number in range(proxy.size - 1):
        policies[f"order-{proxy.size - number:05}"] = _rule({"prefix": f"/orders-{number}/"}, readers)
    rbac = {"rules": {"action": "ALLOW", "policies": policies}}
    return Enforcement(filters=[_filter("jwt_authn", "JwtAuthentication", tokens), _filter("rbac", "RBAC", rbac)])


def _filter(name: str, message: str, config: Mapping[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"type.googleapis.com/{_FILTERS}.{name}.v3.{message}", **config}
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}


def _rule(path: Mapping[str, str], principal: Mapping[str, Any]) -> dict[str, Any]:
    methods = [{"header": {"name": ":method", "string_match": {"exact": each}}} for each in ("GET", "PUT")]
    permissions = [{"url_path": {"path": path}}, {"or_rules": {"rules": methods}}]
    return {"permissions": [{"and_rules": {"rules": permissions}}], "principals": [principal]}


def _holds(role: str) -> dict[str, Any]:
    return {
        "metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "payload"}, {"key": "roles"}],
            "value": {"list_match": {"one_of": {"string_match": {"exact": role}}}},
        }
    }


_ENFORCEMENTS: Final[Mapping[str, Callable[[Proxy, Path], Enforcement]]] = {NONE: _nothing, BY_HAND: _by_hand}
