"""EAE103."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, is_on, text
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity

_DENOMINATORS = {"": "100", "HUNDRED": "100", "TEN_THOUSAND": "10000", "MILLION": "1000000"}


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("ExtAuthz"):
        if is_on(each.config, "deny_at_disable", "default_value"):
            continue
        fraction = get(each.config, "filter_enabled", "default_value")
        if fraction is not None:
            whole = _DENOMINATORS.get(text(fraction, "denominator"), "")
            if text(fraction, "numerator") != whole:
                hint = "set deny_at_disable, or remove filter_enabled"
                yield Finding(fraction, "a part of the requests passes without being checked", hint)
        metadata = get(each.config, "filter_enabled_metadata")
        if metadata is not None and not is_on(metadata, "invert"):
            hint = "write the condition for what need not be asked, with `invert: true`"
            yield Finding(metadata, "a request without this metadata passes without being checked", hint)


RULE = Rule(
    code="EAE103",
    title="ext_authz is enabled for a part of the requests, and the others pass",
    severity=Severity.ERROR,
    why="""\
Where ext_authz is disabled, by filter_enabled or by metadata that is not there, the request passes. Metadata
is missing when the filter that writes it did not run, or failed: only the inverted condition asks then.""",
    wrong=f"""\
http_filters:
  - name: ext_authz
    typed_config: {{{EXT_AUTHZ}, filter_enabled: {{default_value: {{numerator: 50}}}}}}
""",
    right=f"""\
http_filters:
  - name: ext_authz
    typed_config:
      {EXT_AUTHZ}
      filter_enabled: {{default_value: {{numerator: 50}}}}
      deny_at_disable: {{default_value: true, runtime_key: deny}}
""",
    check=_check,
)
