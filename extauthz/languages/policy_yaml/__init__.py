"""The YAML policy language: text -> `extauthz.model.policy.PolicySet`, with diagnostics and a JSON Schema.

Three passes over values that know where they were written. Shape: `reader` reads YAML strictly, `language` says which
keys and types there are. Resolve: `merge`, `providers`, `api_keys`, `roles`, `conditions`, `bindings`, `rules`,
`routes` turn names and defaults into what they stand for. Check: `checks` sees what only the whole shows. Everything
that is found is reported through `report` under a code of `codes`. Nothing here does I/O but through the caller.
"""

from extauthz.languages.policy_yaml.parse import ParsedSet, SourceText, parse_policy_set
from extauthz.languages.policy_yaml.schema import policy_schema

__all__ = ["ParsedSet", "SourceText", "parse_policy_set", "policy_schema"]
