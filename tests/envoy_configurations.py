"""Envoy configurations for tests: fields of an HttpConnectionManager, and what the rules find in them."""

from __future__ import annotations

from extauthz.envoy_audit.audit import Audit, audit
from extauthz.envoy_audit.rule import MANAGER

EXT_AUTHZ = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3"
RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3"
JWT_AUTHN = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3"


def audited(fields: str) -> Audit:
    """The audit of a manager with these fields, or of a whole configuration."""
    if fields.startswith("static_resources"):
        text = fields
    elif fields.startswith("{"):
        text = f"{{{MANAGER}, {fields[1:]}"
    else:
        text = f"{MANAGER}\n{fields}"
    return audit("envoy.yaml", text.encode())


def found(code: str, fields: str) -> list[str]:
    """What the rule of a code says."""
    return [finding.message for finding in audited(fields).findings if finding.code == code]


def ext_authz(fields: str = "", name: str = "ext_authz") -> str:
    """An ext_authz filter."""
    return f'{{name: {name}, typed_config: {{"@type": {EXT_AUTHZ}.ExtAuthz, {fields}}}}}'


def rbac(fields: str = "rules: {}", name: str = "rbac") -> str:
    """An RBAC filter."""
    return f'{{name: {name}, typed_config: {{"@type": {RBAC}.RBAC, {fields}}}}}'


def jwt_authn(fields: str = "", name: str = "jwt") -> str:
    """A jwt_authn filter."""
    return f'{{name: {name}, typed_config: {{"@type": {JWT_AUTHN}.JwtAuthentication, {fields}}}}}'


def filters(*each: str) -> str:
    """These filters, and the router."""
    return f"http_filters: [{', '.join((*each, '{name: router}'))}]\n"
