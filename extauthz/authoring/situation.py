"""Where two sets may decide differently: pairs of their routes, with the requests that the pair decides.

Requests whose pair of routes is the same, and whose paths bind the same variables alike, are one situation. A pair
that is the same in every respect, under sets that are the same besides, is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from extauthz.authoring.places import hosts_match, hosts_of, targets_of
from extauthz.authoring.suite import WrittenRequest
from extauthz.authoring.truth import OTHER_METHOD, BoundHitError, Steered
from extauthz.authorizer import CompiledRoute, Snapshot
from extauthz.errors import RequestError
from extauthz.model.policy import Binding, Condition, PolicySet, Route, Rule, When
from extauthz.model.source import Span
from extauthz.pdp.routes import Owner

NOW: Final = 0.0
"""No condition is evaluated that reads it."""
_ALWAYS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS", "CONNECT", "TRACE", OTHER_METHOD})
_NOWHERE: Final = Span("", 1, 1)


@dataclass(frozen=True, slots=True)
class Pair:
    """What each set has for a request."""

    old: Route | None
    new: Route | None
    old_preflight: bool = False
    """Whether the set lets it pass as a preflight, whoever asks."""
    new_preflight: bool = False

    @property
    def is_preflight(self) -> bool:
        return self.old_preflight or self.new_preflight


@dataclass(slots=True)
class Situation:
    """One pair of routes, and where it decides."""

    pair: Pair
    request: WrittenRequest
    """The first of them."""
    methods: list[str] = field(default_factory=list)
    """All methods of `request`'s path for which it is the same."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Host and target of each kind of path."""


_Found: TypeAlias = tuple[Owner[CompiledRoute] | None, tuple[str, ...], str]
"""The owner, what its pattern captures, the canonical path; of a path that is refused, nobody."""


class Survey:
    """All situations of two steered sets."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self._sides = (old, new)
        self.same_besides = _context(old.policy_set) == _context(new.policy_set)
        """Whether roles, bindings, providers and settings are the same."""
        self._methods = _methods(old.policy_set, new.policy_set)
        self._situations: dict[object, Situation] = {}
        self._reads: dict[int, frozenset[str]] = {}
        self._keys: dict[int, object] = {}
        self.hosts_cut: list[str] = []
        """Hosts with more kinds of paths than were gone through."""
        self.paths = 0
        """How many kinds of paths there were."""

    def situations(self) -> list[Situation]:
        sets = [side.policy_set for side in self._sides]
        routes = [route for policy_set in sets for route in policy_set.routes]
        for host in hosts_of(route.host for route in routes):
            patterns = [route.path for route in routes if hosts_match(route.host, host)]
            try:
                for target in targets_of(patterns, [policy_set.paths for policy_set in sets]):
                    self.paths += 1
                    self._add_place(host, target)
            except BoundHitError:
                self.hosts_cut.append(host)
        return list(self._situations.values())

    def _add_place(self, host: str, target: str) -> None:
        found = [_find(side, host, target) for side in self._sides]
        if all(owner is None for owner, _, _ in found):
            return
        for method in self._methods:
            old, new = (_route(owner, method) for owner, _, _ in found)
            self._add(Pair(old, new), WrittenRequest(method, target, host), found)
        for request in self._preflights(host, target, found):
            old, new = (_route(owner, "OPTIONS") for owner, _, _ in found)
            passes = [_passes(owner, request) for owner, _, _ in found]
            if passes[0] != passes[1]:
                asked = request.headers[-1][1]
                self._add(Pair(old, new, *passes), request, found, tuple(_name(_route(o, asked)) for o, _, _ in found))

    def _preflights(self, host: str, target: str, found: Sequence[_Found]) -> Iterator[WrittenRequest]:
        for method in self._methods:
            routes = [route for owner, _, _ in found if (route := _route(owner, method)) is not None]
            origins = [frozenset(route.cors_origins) for route in routes]
            if len(routes) == len(found) and len(set(origins)) == 1:
                continue
            for origin in [*sorted(frozenset[str]().union(*origins) - {"*"}), "https://any.example"]:
                headers = (("origin", origin), ("access-control-request-method", method))
                yield WrittenRequest("OPTIONS", target, host, headers)

    def _add(
        self, pair: Pair, request: WrittenRequest, found: Sequence[_Found], asked: tuple[str | None, ...] = ()
    ) -> None:
        same_route = self.same_besides and self._key(pair.old) == self._key(pair.new)
        if pair.old_preflight == pair.new_preflight and ((pair.old is None and pair.new is None) or same_route):
            return
        method = request.method if "request.method" in self._roots(pair) else ""
        key = (
            _name(pair.old),
            _name(pair.new),
            pair.old_preflight,
            pair.new_preflight,
            method,
            request.headers[:1],  # a preflight's origin
            asked,
            _alike([captured for _, captured, _ in found]),
            found[0][2] == found[1][2],
        )
        situation = self._situations.setdefault(key, Situation(pair, request))
        situation.places.add((request.host, request.target))
        is_there = (request.host, request.target) == (situation.request.host, situation.request.target)
        if is_there and request.method not in situation.methods:
            situation.methods.append(request.method)

    def _roots(self, pair: Pair) -> frozenset[str]:
        return frozenset[str]().union(
            *(
                self._roots_of(side.policy_set, route)
                for side, route in zip(self._sides, (pair.old, pair.new), strict=True)
                if route is not None
            )
        )

    def _roots_of(self, policy_set: PolicySet, route: Route) -> frozenset[str]:
        known = self._reads.get(id(route))
        if known is None:
            known = self._reads[id(route)] = frozenset(
                path[0] for condition in conditions_of(policy_set, route) for path in condition.reads
            )
        return known

    def _key(self, route: Route | None) -> object:
        """The route without names and places."""
        if route is None:
            return None
        if id(route) not in self._keys:
            rules = tuple(frozenset(map(_rule_key, rules)) for rules in (route.deny, route.require, route.allow))
            names = route.path.segments  # variables are read by name
            self._keys[id(route)] = (
                route.authentication,
                route.public,
                frozenset(route.providers),
                rules,
                names,
                route.upstream_headers,
                frozenset(route.cors_origins),
            )
        return self._keys[id(route)]


def conditions_of(policy_set: PolicySet, route: Route) -> Iterator[Condition]:
    """Every condition that may have a say in a decision of the route."""
    for rule in (*route.deny, *route.require, *route.allow):
        yield from (key.condition for key in rule.conditions if isinstance(key, When))
    yield from (binding.when for binding in policy_set.bindings if binding.when is not None)


def condition_key(condition: Condition) -> object:
    """Equal for conditions that come to the same on every request."""
    return condition.key if isinstance(condition, Steered) else condition


def _rule_key(rule: Rule) -> object:
    return frozenset(condition_key(key.condition) if isinstance(key, When) else key for key in rule.conditions)


def _binding_key(binding: Binding) -> object:
    when = None if binding.when is None else condition_key(binding.when)
    return binding.role, frozenset(binding.subjects), when


def _context(policy_set: PolicySet) -> object:
    """All beside its routes that a set decides by, without names that nothing decides by, and places."""
    return (
        {name: (role.closure, role.permissions) for name, role in policy_set.roles.items()},
        frozenset(map(_binding_key, policy_set.bindings)),
        {provider.name: replace(provider, span=_NOWHERE) for provider in policy_set.providers},
        {provider.name: replace(provider, span=_NOWHERE) for provider in policy_set.api_key_providers},
        frozenset(policy_set.trust_domains),
        frozenset(policy_set.trusted_proxies),
        policy_set.paths,
        frozenset(policy_set.owned_headers),
    )


def _methods(*sets: PolicySet) -> list[str]:
    """Every method that some set names, those that are special, and one that stands for all others."""
    named = {method for policy_set in sets for route in policy_set.routes for method in route.methods or ()}
    compared = {
        method
        for policy_set in sets
        for route in policy_set.routes
        for condition in conditions_of(policy_set, route)
        if isinstance(condition, Steered)
        for method in condition.methods
    }
    return sorted(named | compared | _ALWAYS, key=lambda method: (method != "GET", method == OTHER_METHOD, method))


def _find(side: Snapshot, host: str, target: str) -> _Found:
    try:
        segments = side.paths.read(target)
    except RequestError:
        return None, (), ""
    owner, captured = side.routes.find(host, segments) or (None, ())
    return owner, captured, "/" + "/".join(segments)


def _route(owner: Owner[CompiledRoute] | None, method: str) -> Route | None:
    compiled = owner.for_method(method) if owner is not None else None
    return None if compiled is None else compiled.route


def _passes(owner: Owner[CompiledRoute] | None, request: WrittenRequest) -> bool:
    """Whether it is a preflight that passes: who asks and what rules say does not matter then."""
    (_, origin), (_, method) = request.headers
    route = _route(owner, method)
    return route is not None and not {origin, "*"}.isdisjoint(route.cors_origins)


def _name(route: Route | None) -> str | None:
    return None if route is None else route.name


def _alike(captured: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """Which of the captured values are the same, whatever they are."""
    numbers: dict[str, int] = {}
    return tuple(tuple(numbers.setdefault(value, len(numbers)) for value in values) for values in captured)
