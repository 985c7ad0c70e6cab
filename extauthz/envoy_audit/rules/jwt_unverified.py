"""EAE402."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import AUTHORIZING, Manager, below, get, mentions
from extauthz.envoy_audit.rule import JWT_AUTHN, Finding, Rule
from extauthz.model.source import Severity

_NAMESPACE = "envoy.filters.http.jwt_authn"
"""Where the payloads of verified tokens are, whatever the filter is called."""
_UNVERIFIED = ("allow_missing_or_failed", "extract_only_without_validation")


def _check(manager: Manager) -> Iterator[Finding]:
    for number, each in enumerate(manager.filters):
        if each.type != "JwtAuthentication" or each.config is None:
            continue
        later = manager.filters[number + 1 :]
        if any(mentions(other.config, each.name, _NAMESPACE) for other in later if other.type in AUTHORIZING):
            continue  # that filter decides by what was verified, and finds nothing of a forged token
        for node in below(each.config):
            for name in _UNVERIFIED:
                place = get(node, name)
                if place is not None:
                    hint = "use allow_missing, or have rbac decide by the verified payload"
                    yield Finding(place, f"{name}: a forged token passes", hint)


RULE = Rule(
    code="EAE402",
    title="tokens that nobody verified pass",
    severity=Severity.ERROR,
    why="""\
allow_missing_or_failed and extract_only_without_validation let a token through whose signature is wrong, that
has expired, or that another issuer made; what reads it later takes it for good.""",
    wrong=f"""\
http_filters:
  - name: jwt
    typed_config: {{{JWT_AUTHN}, rules: [{{match: {{prefix: /}}, requires: {{allow_missing_or_failed: {{}}}}}}]}}
""",
    right=f"""\
http_filters:
  - name: jwt
    typed_config: {{{JWT_AUTHN}, rules: [{{match: {{prefix: /}}, requires: {{provider_name: corp}}}}]}}
""",
    check=_check,
)
