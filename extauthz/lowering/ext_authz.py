"""Mode check: the HTTP filters that ask the authorizer about every request.

Settings are the safe ones of `envoy.extensions.filters.http.ext_authz.v3.ExtAuthz`, each with its reason beside it.
INVARIANT: nothing a request can provoke makes these filters let it through.
"""

from __future__ import annotations

from itertools import chain

from extauthz.lowering.document import JsonObject
from extauthz.model.policy import Condition, PolicySet, Route, When, header_spellings

EXT_AUTHZ = "envoy.filters.http.ext_authz"
"""The filter's name, and the namespace of the dynamic metadata that every decision carries."""

AUTHORIZER_CLUSTER = "extauthz"

MAX_BODY_BYTES = 64 * 1024
"""How much of a request's body a condition may read."""

_TYPE_PREFIX = "type.googleapis.com/envoy.extensions.filters.http"
_EXT_AUTHZ_TYPE = f"{_TYPE_PREFIX}.ext_authz.v3.ExtAuthz"
_PER_ROUTE_TYPE = f"{_TYPE_PREFIX}.ext_authz.v3.ExtAuthzPerRoute"
_HEADER_MUTATION_TYPE = f"{_TYPE_PREFIX}.header_mutation.v3.HeaderMutation"
_ROUTER_TYPE = f"{_TYPE_PREFIX}.router.v3.Router"


def check_filters(policy_set: PolicySet, *, cluster: str = AUTHORIZER_CLUSTER) -> list[JsonObject]:
    """The filters to put before the router, in this order; a cors filter, if there is one, goes before them."""
    removal = _remove_owned_headers(policy_set)
    return [*([removal] if removal else []), _ext_authz(policy_set, cluster)]


def router_filter() -> JsonObject:
    """The last filter of every chain."""
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER_TYPE}}


def body_not_sent() -> JsonObject:
    """`typed_per_filter_config` of a route whose bodies are not buffered: streams would wait for their own end."""
    return {EXT_AUTHZ: {"@type": _PER_ROUTE_TYPE, "check_settings": {"disable_request_body_buffering": True}}}


def reads_body(policy_set: PolicySet) -> bool:
    """Whether any condition of the set reads the request's body."""
    bindings = (b.when for b in policy_set.bindings if b.when is not None)
    rules = chain.from_iterable(_conditions(route) for route in policy_set.routes)
    return any(path[0] == "body" for condition in chain(bindings, rules) for path in condition.reads)


def stripped_headers(policy_set: PolicySet) -> tuple[str, ...]:
    """What no client may send: each owned header, in all its spellings (`x-user` and `x_user`).

    A header that carries a credential stays, since the authorizer has to read it; like every owned header, each
    decision sets or removes it for the upstream.
    """
    credentials = {location.header or "cookie" for p in policy_set.providers for location in p.tokens}
    credentials |= {p.header for p in policy_set.api_key_providers}
    owned = (name for name in policy_set.owned_headers if name not in credentials)
    return tuple(sorted({spelling for name in owned for spelling in header_spellings(name)}))


def _conditions(route: Route) -> list[Condition]:
    rules = chain(route.deny, route.require, route.allow)
    return [key.condition for rule in rules for key in rule.conditions if isinstance(key, When)]


def _remove_owned_headers(policy_set: PolicySet) -> JsonObject | None:
    names = stripped_headers(policy_set)
    if not names:
        return None
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": _HEADER_MUTATION_TYPE,
            "mutations": {"request_mutations": [{"remove": name} for name in names]},
        },
    }


def _ext_authz(policy_set: PolicySet, cluster: str) -> JsonObject:
    config: JsonObject = {
        "@type": _EXT_AUTHZ_TYPE,
        "transport_api_version": "V3",
        "grpc_service": {
            # Without an authority Envoy sends the cluster's name, and HTTP/2 servers reset streams whose :authority
            # is no host name.
            "envoy_grpc": {"cluster_name": cluster, "authority": "extauthz"},
            # The authorizer answers by itself after 150 ms: the limit of a call that does not come back at all.
            "timeout": "0.200s",
        },
        "failure_mode_allow": False,
        # No answer is "could not decide", as when the authorizer itself says so; the default 403 would say "denied".
        "status_on_error": {"code": "ServiceUnavailable"},
        # Repeated headers arrive apart, and bytes as they are, instead of joined by commas and with `!` for bytes.
        "encode_raw_headers": True,
        # A header that cannot be set fails the request; dropping it silently could let the client's own copy pass.
        "validate_mutations": True,
        "decoder_header_mutation_rules": {"disallow_system": True, "disallow_is_error": True},
    }
    if reads_body(policy_set):
        config["with_request_body"] = {
            "max_request_bytes": MAX_BODY_BYTES,
            # Otherwise Envoy answers 413 to every larger request, those included whose route reads no body. The
            # authorizer sees that it got a part, and a condition on it is an error: never an allow.
            "allow_partial_message": True,
            "pack_as_bytes": True,
        }
    return {"name": EXT_AUTHZ, "typed_config": config}
