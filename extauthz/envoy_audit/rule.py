"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from extauthz.envoy_audit.manager import Manager
from extauthz.languages.policy_yaml.nodes import AnyNode
from extauthz.model.source import Severity

EXT_AUTHZ = '"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'
RBAC = '"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC'
JWT_AUTHN = '"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication'
_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
MANAGER = f'"@type": {_NETWORK}.http_connection_manager.v3.HttpConnectionManager'
"""What the examples say at the head of a filter's configuration."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that a rule objects to."""

    node: AnyNode
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing about a configuration, with its page."""

    code: str
    """`EAEnnn`, never reused."""
    title: str
    severity: Severity
    """An error lets requests through; a warning makes it likelier that something else does."""
    why: str
    wrong: str
    """Fields of an HttpConnectionManager (or a whole configuration) that it objects to."""
    right: str
    """The same, as it should be."""
    check: Callable[[Manager], Iterator[Finding]]
