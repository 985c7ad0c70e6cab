"""What a natively allowed request carries on: header_mutation behind everything else, run for such requests alone.

Requests are told apart by the *profile* in the name of the policy that allowed them: what a route sets and removes, for
one kind of caller. Every other request passes the filter by, since the authorizer has changed its headers already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from extauthz.lowering import expression as cel
from extauthz.lowering.callers import Caller, claims, is_header_text, where_present
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import stripped_headers
from extauthz.lowering.formula import ALWAYS, Cel, Formula, NotExactError, all_hold
from extauthz.lowering.jwt_authn import payload_key
from extauthz.lowering.matchers import HEADER_TEXT, JWT_AUTHN, RBAC
from extauthz.lowering.role_header import roles_format
from extauthz.model.policy import Authentication, PolicySet, Route, TemplatePart
from extauthz.pdp.upstream import UpstreamRenderer

_COMMON = "type.googleapis.com/envoy.extensions"
_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""What a key may hold in `%DYNAMIC_METADATA(...)%`, where `:` and `)` mean something."""


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """What becomes of one header."""

    name: str
    value: str | None
    """A format string (envoy, "Substitution formatter"); an empty outcome, or None, removes the header."""


@dataclass(frozen=True, slots=True)
class Profile:
    """All header changes of a request."""

    changes: tuple[HeaderChange, ...]


def preflight_profile(policy_set: PolicySet) -> Profile:
    """Every owned header is removed."""
    return Profile(
        tuple(HeaderChange(name, None) for name in _left(policy_set, UpstreamRenderer((), policy_set.owned_headers)))
    )


def profile_of(policy_set: PolicySet, route: Route, caller: Caller) -> tuple[Profile, Formula]:
    """The changes on a route for one kind of caller, and when they are what the authorizer would make.

    Raises:
        NotExactError: Envoy cannot write one of the values.
    """
    renderer = UpstreamRenderer(route.upstream_headers, policy_set.owned_headers)
    changes = [HeaderChange(name, None) for name in _left(policy_set, renderer)]
    exact: list[Formula] = []
    for header in route.upstream_headers:
        if header.template is not None:
            try:
                value, when = _format(header.template, policy_set, route, caller)
            except NotExactError as error:
                raise NotExactError(f"the header {header.name}: {error}") from None
            changes.append(HeaderChange(header.name, value))
            exact.append(when)
    return Profile(tuple(sorted(changes, key=lambda change: change.name))), all_hold(*exact)


def _left(policy_set: PolicySet, renderer: UpstreamRenderer) -> Iterable[str]:
    """The headers to remove that are not removed from every request before."""
    return [name for name in renderer.removals.remove if name not in stripped_headers(policy_set)]


def _format(
    template: Sequence[TemplatePart], policy_set: PolicySet, route: Route, caller: Caller
) -> tuple[str | None, Formula]:
    """The format string, None where the value is empty for certain, and when it is exact."""
    text = ""
    exact: list[Formula] = []
    for part in template:
        piece, when = _piece(part, policy_set, route, caller, alone=len(template) == 1)
        if not piece:
            return None, ALWAYS  # one fact that is absent removes the whole header
        text += piece
        exact.append(when)
    return text, all_hold(*exact)


def _piece(
    part: TemplatePart, policy_set: PolicySet, route: Route, caller: Caller, *, alone: bool
) -> tuple[str | None, Formula]:
    if not part.path:
        return part.text.replace("%", "%%"), ALWAYS
    provider = caller.provider
    match part.path:
        case ("principal", "subject"):
            return _claim(caller, provider.claims.subject.keys, alone=False) if provider else (None, ALWAYS)
        case ("principal", "provider"):
            return (provider.name.replace("%", "%%") if provider else None), ALWAYS
        case ("path", name) if name not in route.path.variables:
            return None, ALWAYS
        case ("principal", "roles") if provider is None and not _has_workload_roles(policy_set, route):
            return None, ALWAYS
        case ("principal", "roles") if provider is not None and alone:
            return roles_format(policy_set, route, caller, provider), ALWAYS
        case ("principal", "groups" | "scopes") if provider is None:
            return None, ALWAYS
        case ("claims", *keys):
            return _claim(caller, keys, alone=alone) if provider else (None, ALWAYS)
        case _:
            raise NotExactError(f"Envoy cannot write {'.'.join(part.path)}")


def _has_workload_roles(policy_set: PolicySet, route: Route) -> bool:
    by_workload = any(s.workload is not None for binding in policy_set.bindings for s in binding.subjects)
    return route.authentication is Authentication.NONE and by_workload


def _claim(caller: Caller, keys: Sequence[str], *, alone: bool) -> tuple[str, Formula]:
    """A claim that is text; where it is the whole value it may be absent or empty, which removes the header."""
    assert caller.provider is not None  # noqa: S101 - the caller of this checks
    path = (payload_key(caller.provider), *keys)
    if not all(_KEY.fullmatch(key) for key in path):
        raise NotExactError(f"Envoy's format strings cannot name {'.'.join(keys)}")
    payload = claims(caller.provider)
    if alone:
        # A null would be written as a word.
        exact = where_present(payload, keys, lambda value: is_header_text(value, f"|{HEADER_TEXT}"), or_null=False)
    else:
        exact = is_header_text(cel.fields(payload, keys), HEADER_TEXT)
    return f"%DYNAMIC_METADATA({JWT_AUTHN}:{':'.join(path)})%", Cel(exact)


def mutation_filter(profile: Profile, policy_prefix: str, decision_key: str) -> JsonObject | None:
    """The filter of one profile, None when it changes nothing.

    Args:
        profile: the changes.
        policy_prefix: how the names of the policies begin that allow requests of this profile.
        decision_key: where the enforcing RBAC filter writes that name.
    """
    mutations: list[JsonObject] = []
    for change in profile.changes:
        mutations.append({"remove": change.name})
        if change.value is not None:
            header = {"key": change.name, "value": change.value}
            mutations.append({"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}})
    if not mutations:
        return None
    mutation: JsonObject = {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{_COMMON}.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": mutations},
        },
    }
    return _unless_skipped(mutation, policy_prefix, decision_key)


def _unless_skipped(filter_: JsonObject, policy_prefix: str, decision_key: str) -> JsonObject:
    """The filter, skipped unless the metadata says otherwise: without metadata it is skipped."""
    is_profile: JsonObject = {
        "input": {
            "name": "envoy.matching.inputs.dynamic_metadata",
            "typed_config": {
                "@type": f"{_COMMON}.matching.common_inputs.network.v3.DynamicMetadataInput",
                "filter": RBAC,
                "path": [{"key": decision_key}],
            },
        },
        "custom_match": {
            "name": "envoy.matching.matchers.metadata_matcher",
            "typed_config": {
                "@type": f"{_COMMON}.matching.input_matchers.metadata.v3.Metadata",
                "value": {"string_match": {"prefix": policy_prefix}},
            },
        },
    }
    skip: JsonObject = {
        "name": "skip",
        "typed_config": {"@type": f"{_COMMON}.filters.common.matcher.action.v3.SkipFilter"},
    }
    matcher: JsonObject = {
        "predicate": {"not_matcher": {"single_predicate": is_profile}},
        "on_match": {"action": skip},
    }
    return {
        "name": filter_["name"],
        "typed_config": {
            "@type": f"{_COMMON}.common.matching.v3.ExtensionWithMatcher",
            "extension_config": filter_,
            "xds_matcher": {"matcher_list": {"matchers": [matcher]}},
        },
    }
