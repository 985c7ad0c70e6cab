"""A page for each diagnostic: what it means and, for a warning, why it is one and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extauthz.languages.policy_yaml.codes import Code

_KINDS: Final = {
    "1": "the bytes of a file and their YAML",
    "2": "keys and types",
    "3": "names",
    "4": "providers, roles and bindings",
    "5": "routes",
    "6": "rules",
    "7": "upstream headers",
    "8": "conditions",
    "9": "what may be served but deserves a second look",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """Why a warning is one, with a policy that gets it and one that does not (each without the head they share)."""

    why: str
    wrong: str
    right: str


HEAD: Final = """\
version: 1
providers:
  corp: {issuer: https://issuer.example, audiences: [shop], algorithms: [ES256], jwks: {uri: https://issuer.example/jwks}}
"""
"""What the examples begin with, unless they have providers themselves."""

ADVICE: Final[dict[Code, Advice]] = {
    Code.AUDIENCES_ANY: Advice(
        why="""\
A token says whom it is meant for (`aud`, RFC 7519 section 4.1.3). With `audiences: any` a token that another service
was given, or lost, opens this one as well.""",
        wrong="""\
version: 1
providers:
  corp: {issuer: https://issuer.example, audiences: any, algorithms: [ES256], jwks: {uri: https://issuer.example/jwks}}
routes:
  - {path: /orders, allow: [{authenticated: true}]}
""",
        right="""\
version: 1
providers:
  corp: {issuer: https://issuer.example, audiences: [shop], algorithms: [ES256], jwks: {uri: https://issuer.example/jwks}}
routes:
  - {path: /orders, allow: [{authenticated: true}]}
""",
    ),
    Code.UNGUARDED_DENY: Advice(
        why="""\
A deny that cannot be evaluated denies, for an error never widens access. So a deny that reads a claim or a header
denies everybody who lacks it: a rule against suspended accounts becomes one against all whose token says nothing.""",
        wrong="""\
deny:
  - {name: suspended, when: claims.suspended == true}
routes:
  - {path: /orders, allow: [{authenticated: true}]}
""",
        right="""\
deny:
  - {name: suspended, when: has(claims.suspended) && claims.suspended != false}
routes:
  - {path: /orders, allow: [{authenticated: true}]}
""",
    ),
    Code.NOT_GRANTED: Advice(
        why="""\
The rule can never allow: no role has the permission, neither literally nor by a wildcard. Most often it is misspelt,
here or in the role.""",
        wrong="""\
roles: {reader: {permissions: ["orders:read"]}}
routes:
  - {path: /orders, allow: [{permission: "order:read"}]}
""",
        right="""\
roles: {reader: {permissions: ["orders:read"]}}
routes:
  - {path: /orders, allow: [{permission: "orders:read"}]}
""",
    ),
    Code.KEY_BEYOND_MAY_ASSERT: Advice(
        why="""\
`may_assert` bounds what credentials of a provider may claim, and what is beyond it is dropped. An API key that is
given such a role looks as if its holder had it, and they have not.""",
        wrong="""\
providers:
  machines: {api_keys: {file: keys.yaml}, may_assert: {scopes: [read]}}
routes:
  - {path: /orders, allow: [{scope: [read, write]}]}
""",
        right="""\
providers:
  machines: {api_keys: {file: keys.yaml}, may_assert: {scopes: [read, write]}}
routes:
  - {path: /orders, allow: [{scope: [read, write]}]}
""",
    ),
    Code.BINDING_NEVER_HOLDS: Advice(
        why="""\
A role that holds in one place reads the place from the path, as in `path.tenant`. Where no route's path binds that
name, the condition can only fail, and nobody gets the role.""",
        wrong="""\
roles: {editor: {}}
bindings:
  - {role: editor, provider: corp, when: has(claims.tenant) && claims.tenant == path.tenant}
routes:
  - {path: "/tenants/{id}", allow: [{role: editor}]}
""",
        right="""\
roles: {editor: {}}
bindings:
  - {role: editor, provider: corp, when: has(claims.tenant) && claims.tenant == path.tenant}
routes:
  - {path: "/tenants/{tenant}", allow: [{role: editor}]}
""",
    ),
    Code.REQUIRE_NEVER_HOLDS: Advice(
        why="""\
Requirements of the set apply to every route. One that asks for a caller denies every request of a route that looks at
no credentials, public ones included: probes fail, and nothing says why.""",
        wrong="""\
require:
  - {authenticated: true}
routes:
  - {path: /healthz, public: true}
  - {path: /orders, allow: [{authenticated: true}]}
""",
        right="""\
routes:
  - {path: /healthz, public: true}
  - {path: /orders, allow: [{authenticated: true}]}
""",
    ),
}


def kind_of(code: Code) -> str:
    """What the code is about, by its hundred."""
    return _KINDS[code.value[3]]


def is_warning(code: Code) -> bool:
    """Whether a set with this finding may be served."""
    return code.value.startswith("EAZ9")


def find(text: str) -> Code | None:
    """The code that somebody writes as `EAZ902`, `eaz902` or `902`; None when there is none."""
    value = text.upper()
    value = value if value.startswith("EAZ") else f"EAZ{value}"
    return next((code for code in Code if code.value == value), None)
