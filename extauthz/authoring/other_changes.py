"""What differs between two policy sets and is not compared by its effects: which tokens are good, how answers look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from extauthz.authoring.situation import Pair
from extauthz.model.policy import PolicySet, Route, UpstreamHeader
from extauthz.model.provider import Provider, StaticKeys


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that differs and is not compared by its effects."""

    text: str
    may_widen: bool
    """Whether a request may be allowed for it that was denied."""


def other_changes(old: PolicySet, new: PolicySet, pairs: Sequence[Pair]) -> Iterator[Setting]:
    """All of it; `pairs` are the routes that are compared."""
    its = {provider.name: provider for provider in new.providers}
    for provider in old.providers:
        other = its.get(provider.name)
        changed = [] if other is None else list(_changed(provider, other))
        if changed:
            yield Setting(f"provider {provider.name}: {', '.join(changed)}", may_widen=True)
    headers = {provider.name: provider.header for provider in new.api_key_providers}
    for keys in old.api_key_providers:
        if headers.get(keys.name, keys.header) != keys.header:
            yield Setting(f"provider {keys.name}: header", may_widen=True)
    if old.responses != new.responses:
        yield Setting("responses", may_widen=False)
    for name, may_widen in sorted(_upstream(old, new, pairs).items()):
        yield Setting(f"upstream headers of route {name}", may_widen)


def _changed(old: Provider, new: Provider) -> Iterator[str]:
    """Names of what says which tokens are good and what they mean, without what they may assert."""
    for each in fields(Provider):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if isinstance(before, StaticKeys) and isinstance(after, StaticKeys):
            before, after = before.jwks, after.jwks
        if before != after and each.name not in {"span", "may_assert"}:
            yield each.name


def _upstream(old: PolicySet, new: PolicySet, pairs: Sequence[Pair]) -> dict[str, bool]:
    """Routes whose upstream headers differ, and whether one that could refuse a request is gone."""
    found: dict[str, bool] = {}
    for pair in pairs:
        if pair.old is not None and pair.new is not None and not pair.is_preflight:
            before, after = (_headers(route, policy_set) for route, policy_set in ((pair.old, old), (pair.new, new)))
            if before != after:
                gone = any(header.template is not None for header in before - after)
                found[pair.new.name] = found.get(pair.new.name, False) or gone
    return found


def _headers(route: Route, policy_set: PolicySet) -> frozenset[UpstreamHeader]:
    owned = (UpstreamHeader(name, None) for name in policy_set.owned_headers)
    named = {header.name for header in route.upstream_headers}
    return frozenset((*route.upstream_headers, *(header for header in owned if header.name not in named)))
