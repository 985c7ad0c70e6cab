"""Which route owns a request, natively: a shadow RBAC filter whose policies stand in the order of specificity.

Envoy evaluates policies by name and stops at the first that matches, so names begin with a number. The first policy of
all catches what is not plain: such a request is read by the authorizer alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from extauthz.lowering import matchers
from extauthz.lowering.formula import ALWAYS, Formula, all_hold, negation, one_holds
from extauthz.lowering.matchers import RBAC, exactly, metadata, metadata_text
from extauthz.model.policy import (
    HostPattern,
    LiteralSegment,
    PathPattern,
    PolicySet,
    Route,
    TrailingSlash,
    VariableSegment,
)
from extauthz.pdp.routes import NOT_IMPLIED_METHODS, Owner

ROUTE_PREFIX = "extauthz_route_"
"""Of the classifying filter's metadata."""
ROUTE_KEY = f"{ROUTE_PREFIX}shadow_effective_policy_id"
NOT_PLAIN = "0_not_plain"


@dataclass(frozen=True, slots=True)
class OwnedRoute:
    """A route with the methods for which it is its owner's route."""

    route: Route
    id: str
    """Under which the classifying filter names it."""
    methods: frozenset[str] | None
    """None: all that the owner's other routes do not serve, but CONNECT and TRACE."""
    others: frozenset[str]
    """The methods of the owner's other routes."""

    @property
    def method_test(self) -> Formula:
        if self.methods is not None:
            return matchers.methods(self.methods)
        return negation(matchers.methods(self.others | NOT_IMPLIED_METHODS))


@dataclass(frozen=True, slots=True)
class OwnedPath:
    """The routes of one host and path pattern."""

    routes: tuple[OwnedRoute, ...]
    no_route_id: str
    """Names a request of this owner for whose method there is no route."""

    @property
    def answers_preflights(self) -> bool:
        """Whether a CORS preflight may pass here without credentials or rules."""
        return any(owned.route.cors_origins for owned in self.routes)

    @property
    def ids(self) -> tuple[str, ...]:
        return (*(owned.id for owned in self.routes), self.no_route_id)


def classified(ids: Iterable[str]) -> Formula:
    """Whether the classifying filter has found one of these."""
    return one_holds(*(metadata_text(RBAC, ROUTE_KEY, exactly(i)) for i in ids))


def is_classified() -> Formula:
    """Whether the classifying filter has found an owner, or that the request is not plain."""
    return metadata(RBAC, (ROUTE_KEY,), {"present_match": True})


def owned_paths(policy_set: PolicySet) -> tuple[OwnedPath, ...]:
    """Every owner of the set, the most specific first."""
    routes: dict[_Key, list[Route]] = {}
    for route in policy_set.routes:
        routes.setdefault((_host_key(route.host), _path_key(route.path)), []).append(route)
    digits = len(str(len(routes)))
    groups = listed_origins(policy_set)
    return tuple(
        _owned(routes[key], f"1_{number:0{digits}}", groups) for number, key in enumerate(sorted(routes), start=1)
    )


def listed_origins(policy_set: PolicySet) -> tuple[tuple[str, ...], ...]:
    """What routes list as web origins, each list once; its number is in the names of the routes that have it."""
    return tuple(dict.fromkeys(route.cors_origins for route in policy_set.routes if route.cors_origins))


def ids_of_listing(number: int) -> str:
    """A regular expression of the ids of the routes that have the list of that number."""
    return rf"1_[0-9]+a{number}_(?:.|\n)*"


def route_policies(paths: Iterable[OwnedPath], trailing_slash: TrailingSlash) -> Mapping[str, Formula]:
    """The classifying filter's policies by name."""
    policies = {NOT_PLAIN: negation(matchers.plain())}
    for owned_path in paths:
        first = owned_path.routes[0].route
        place = all_hold(matchers.host(first.host), matchers.path(first.path, trailing_slash))
        for owned in owned_path.routes:
            policies[owned.id] = all_hold(place, owned.method_test)
        policies[owned_path.no_route_id] = all_hold(place, ALWAYS)
    return policies


_Key = tuple[tuple[int, int, str], tuple[tuple[int, str], ...]]


def _host_key(host: HostPattern | None) -> tuple[int, int, str]:
    """Exact, then suffixes by falling number of labels, then any."""
    if host is None:
        return 2, 0, ""
    return (1, -host.host.count("."), host.host) if host.suffix else (0, 0, host.host)


def _path_key(path: PathPattern) -> tuple[tuple[int, str], ...]:
    """Segment by segment: literal, or the pattern's end, which no literal competes with; variable; rest."""
    return tuple(
        (0, segment.text)
        if isinstance(segment, LiteralSegment)
        else (1 + (not isinstance(segment, VariableSegment)), "")
        for segment in path.segments
    )


def _owned(routes: list[Route], prefix: str, listings: Sequence[tuple[str, ...]]) -> OwnedPath:
    owner: Owner[Route] = Owner()
    for route in routes:
        owner.add(route.methods, route)
    named = {method for route in routes for method in _named(route)}
    serving = {method: owner.for_method(method) for method in named}
    owned = []
    for route in routes:
        methods = frozenset(method for method, server in serving.items() if server is route)
        others = frozenset(named - methods)
        is_any = route.methods is None
        listing = listings.index(route.cors_origins) if route.cors_origins else ""
        owned.append(OwnedRoute(route, f"{prefix}a{listing}_{route.name}", None if is_any else methods, others))
    return OwnedPath(tuple(owned), f"{prefix}b")


def _named(route: Route) -> frozenset[str]:
    methods = route.methods or frozenset()
    return methods | {"HEAD"} if "GET" in methods else methods
