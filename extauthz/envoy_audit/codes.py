"""The table of rules."""

from __future__ import annotations

from typing import Final

from extauthz.envoy_audit.rule import Rule
from extauthz.envoy_audit.rules import (
    checked_condition,
    client_address,
    client_certificate_header,
    deny_by_condition,
    disabled_route,
    failure_mode,
    filter_order,
    host_forms,
    jwt_catch_all,
    jwt_claims,
    jwt_unverified,
    no_authorization,
    partly_enabled,
    path_header,
    path_normalisation,
    path_parameters,
    plain_text,
    raw_headers,
    route_cache,
    shadow,
    timeout,
    underscores,
    upgrade_filters,
)

RULES: Final[tuple[Rule, ...]] = (
    no_authorization.RULE,
    failure_mode.RULE,
    partly_enabled.RULE,
    disabled_route.RULE,
    upgrade_filters.RULE,
    route_cache.RULE,
    shadow.RULE,
    deny_by_condition.RULE,
    checked_condition.RULE,
    path_normalisation.RULE,
    path_parameters.RULE,
    path_header.RULE,
    host_forms.RULE,
    underscores.RULE,
    client_address.RULE,
    client_certificate_header.RULE,
    raw_headers.RULE,
    timeout.RULE,
    jwt_catch_all.RULE,
    jwt_unverified.RULE,
    jwt_claims.RULE,
    filter_order.RULE,
    plain_text.RULE,
)


def find(code: str) -> Rule | None:
    """The rule of a code, in any case."""
    return next((rule for rule in RULES if rule.code == code.upper()), None)
