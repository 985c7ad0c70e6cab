"""Why this route and no other: the routes that match a request, in the order in which the route table prefers them.

The order is the table's own: it is asked again without what it has chosen before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from extauthz.model.policy import LiteralSegment, PathPattern, RestSegment, Route, VariableSegment
from extauthz.pdp.canonical import Segments
from extauthz.pdp.routes import RouteTable

MAX_PASSED_OVER = 5


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A route that does not decide the request."""

    route: Route
    why: str


def passed_over(
    routes: Sequence[Route], host: str, segments: Segments, method: str, chosen: Route | None
) -> tuple[PassedOver, ...]:
    """The next best routes and why they do not decide; where none matches, those that nearly do.

    Args:
        routes: all routes of the set.
        host: canonical.
        segments: the canonical path.
        method: as sent.
        chosen: the route that decides, if there is one.
    """
    ranked = list(_ranked(routes, host, segments))
    if not ranked:
        return tuple(_nearest(routes, host, segments))
    owner, *wider = ranked
    found = [PassedOver(route, f"it serves {_methods(route)}, not {method}") for route in owner if route != chosen]
    for group in wider:
        found += [PassedOver(route, _why_wider(route, owner[0])) for route in group]
    return tuple(found[:MAX_PASSED_OVER])


def _ranked(routes: Sequence[Route], host: str, segments: Segments) -> Iterator[list[Route]]:
    """The routes that match host and path, those of one pattern together, the most specific first."""
    groups: dict[object, list[Route]] = {}
    for route in routes:
        if _table([route], [[route]]).find(host, segments) is not None:
            groups.setdefault((route.host, _shape(route.path)), []).append(route)
    left = list(groups.values())
    while left:
        owner, _ = _table([group[0] for group in left], left).find(host, segments) or (None, ())
        group = owner.for_method("GET") if owner is not None else None
        if group is None:
            return
        yield group
        left.remove(group)


def _table(routes: Sequence[Route], values: Sequence[list[Route]]) -> RouteTable[list[Route]]:
    return RouteTable((replace(route, methods=None), value) for route, value in zip(routes, values, strict=True))


def _shape(path: PathPattern) -> tuple[str | type, ...]:
    """What two paths share that own the same requests: names of variables do not matter."""
    return tuple(s.text if isinstance(s, LiteralSegment) else type(s) for s in path.segments)


def _methods(route: Route) -> str:
    return "any method but CONNECT and TRACE" if route.methods is None else ", ".join(sorted(route.methods))


def _why_wider(route: Route, owner: Route) -> str:
    if route.host != owner.host:
        return f"its host, {route.host or 'any'}, is less specific than {owner.host}"
    return f"its path, {route.path.text}, is less specific than {owner.path.text}"


def _nearest(routes: Sequence[Route], host: str, segments: Segments) -> list[PassedOver]:
    ranked = sorted(routes, key=lambda route: -_agreeing(route.path, segments))
    best = _agreeing(ranked[0].path, segments) if ranked else 0
    near = [route for route in ranked if best and _agreeing(route.path, segments) == best]
    return [PassedOver(route, _where_it_differs(route, host, segments)) for route in near[:MAX_PASSED_OVER]]


def _agreeing(path: PathPattern, segments: Segments) -> int:
    """How many segments agree before the first that does not; as many as there are when the whole path matches."""
    count = 0
    for pattern, segment in zip(path.segments, segments, strict=False):
        if isinstance(pattern, LiteralSegment) and pattern.text != segment:
            break
        count += 1
    return count


def _where_it_differs(route: Route, host: str, segments: Segments) -> str:
    count = _agreeing(route.path, segments)
    patterns = route.path.segments
    if count < min(len(patterns), len(segments)) and isinstance(patterns[count], LiteralSegment):
        return f"its path is {route.path.text}: segment {count + 1} is not {segments[count]}"
    has_rest = bool(patterns) and isinstance(patterns[-1], RestSegment)
    if len(segments) > len(patterns) and not has_rest:
        return f"its path, {route.path.text}, ends before {segments[len(patterns)]}"
    if len(segments) < len(patterns) and isinstance(patterns[len(segments)], LiteralSegment | VariableSegment):
        return f"its path, {route.path.text}, goes on"
    return f"its host is {route.host or 'any'}, not {host}"
