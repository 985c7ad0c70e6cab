"""EAE403."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, is_on, items, members, text
from extauthz.envoy_audit.rule import JWT_AUTHN, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("JwtAuthentication"):
        for name, provider in members(each.config, "providers").items():
            has_end = is_on(provider, "require_expiration") or get(provider, "max_lifetime") is not None
            for holds, message, hint in (
                (bool(text(provider, "issuer")), "takes tokens of any issuer", "set issuer"),
                (bool(items(provider, "audiences")), "takes tokens whomever they are meant for", "set audiences"),
                (has_end, "takes tokens that never expire", "set require_expiration: true"),
                (
                    bool(items(provider, "from_headers")),
                    "takes tokens from the URL, where logs keep them",
                    "set from_headers: [{name: authorization, value_prefix: 'Bearer '}]",
                ),
            ):
                if not holds:
                    yield Finding(provider, f"provider {name!r} {message}", hint)


RULE = Rule(
    code="EAE403",
    title="a provider that takes tokens that are not meant for it",
    severity=Severity.WARNING,
    why="""\
jwt_authn checks issuer and audience only when they are written down, takes a token without `exp` for one
without end, and reads `?access_token=` where no place is named.""",
    wrong=f"http_filters: [{{name: jwt, typed_config: {{{JWT_AUTHN}, providers: {{corp: {{}}}}}}}}]",
    right=f"""\
http_filters:
  - name: jwt
    typed_config:
      {JWT_AUTHN}
      providers:
        corp:
          issuer: https://issuer.example
          audiences: [shop]
          require_expiration: true
          from_headers: [{{name: authorization, value_prefix: "Bearer "}}]
""",
    check=_check,
)
