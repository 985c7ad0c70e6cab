"""A page for each diagnostic: what it means and, for a warning, why it is one and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.rego.codes import RegoCode

AnyCode: TypeAlias = Code | RegoCode

ALL_CODES: Final[tuple[AnyCode, ...]] = tuple(sorted((*Code, *RegoCode)))
"""What a diagnostic of a policy set can be, in order."""

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

ADVICE: Final[dict[AnyCode, Advice]] = {
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
    Code.REDUNDANT_ALLOW: Advice(
        why="""\
One allow is enough. Beside a rule that every caller of the route satisfies, another one changes nothing: whoever wrote
it meant it to restrict, which only `require`, `deny`, or keys of the same rule do.""",
        wrong="""\
routes:
  - {path: /orders, allow: [{authenticated: true}, {scope: orders.read}]}
""",
        right="""\
routes:
  - {path: /orders, allow: [{authenticated: true, scope: orders.read}]}
""",
    ),
    Code.ROLE_NEVER_GRANTED: Advice(
        why="""\
No binding gives the role, no API key has it, and no provider maps and may assert it, or one that inherits it. Rules
that ask for it never hold: an allow that looks like a way in is none, and a deny protects from nobody.""",
        wrong="""\
roles: {clerk: {}}
routes:
  - {path: /orders, allow: [{role: clerk}, {scope: orders.read}]}
""",
        right="""\
roles: {clerk: {}}
bindings:
  - {role: clerk, subjects: [{group: staff}]}
routes:
  - {path: /orders, allow: [{role: clerk}, {scope: orders.read}]}
""",
    ),
    Code.PERMISSION_NEVER_USED: Advice(
        why="""\
A permission is what a rule asks for. One that none asks for says something about a role that is not so; most often a
rule is missing, or one of the two is misspelt.""",
        wrong="""\
roles: {clerk: {permissions: ["orders:read", "orders:wirte"]}}
bindings:
  - {role: clerk, subjects: [{group: staff}]}
routes:
  - {path: /orders, allow: [{permission: "orders:read"}]}
""",
        right="""\
roles: {clerk: {permissions: ["orders:read"]}}
bindings:
  - {role: clerk, subjects: [{group: staff}]}
routes:
  - {path: /orders, allow: [{permission: "orders:read"}]}
""",
    ),
    Code.WEAKER_REST: Advice(
        why="""\
A literal path is itself alone. What lies below it, as /admin/users/7 below /admin/users, belongs to the `**` beside it;
where that asks for less, somebody who added the stricter route thought to have protected all of it.""",
        wrong="""\
routes:
  - {path: "/admin/**", allow: [{authenticated: true}]}
  - {path: /admin/users, allow: [{scope: admin}]}
""",
        right="""\
routes:
  - {path: "/admin/**", allow: [{authenticated: true}]}
  - {path: "/admin/users/**", allow: [{scope: admin}]}
""",
    ),
    Code.HEADERS_OF_NOBODY: Advice(
        why="""\
A header that is set from the caller is removed when nobody is authenticated. The route lets such requests through, so
its backend must take the header's absence for nobody, and not for a default user or a trusted peer.""",
        wrong="""\
routes:
  - path: /catalogue
    authentication: optional
    allow: [{anyone: true}]
    upstream_headers: {set: {x-user: "{principal.subject}"}}
""",
        right="""\
routes:
  - path: /catalogue
    allow: [{authenticated: true}]
    upstream_headers: {set: {x-user: "{principal.subject}"}}
""",
    ),
    Code.SPOOFABLE_HEADER: Advice(
        why="""\
Headers are written by whoever sends the request, x-forwarded-for included; only what trusted proxies append to that is
believed, and `remote_ip` knows how far. A rule that allows for a header alone is a password that never changes.""",
        wrong="""\
routes:
  - path: /admin
    allow: [{scope: admin}]
    require: [{when: "request.headers['x-forwarded-for'] == '203.0.113.7'"}]
""",
        right="""\
trusted_proxies: [10.0.0.0/8]
routes:
  - path: /admin
    allow: [{scope: admin}]
    require: [{remote_ip: 203.0.113.7/32}]
""",
    ),
    Code.SCOPED_ROLE_ASSERTED: Advice(
        why="""\
The binding gives the role in one place only, as an editor of one tenant. A provider whose tokens may assert the same
role gives it in every place, and goes past the condition.""",
        wrong="""\
version: 1
providers:
  corp:
    {issuer: https://issuer.example, audiences: [shop], algorithms: [ES256], jwks: {uri: https://issuer.example/jwks},
     claims: {roles: roles}}
roles: {editor: {}}
bindings:
  - {role: editor, provider: corp, when: has(claims.tenant) && claims.tenant == path.tenant}
routes:
  - {path: "/tenants/{tenant}", allow: [{role: editor}]}
""",
        right="""\
version: 1
providers:
  corp:
    {issuer: https://issuer.example, audiences: [shop], algorithms: [ES256], jwks: {uri: https://issuer.example/jwks},
     claims: {roles: roles}, may_assert: none}
roles: {editor: {}}
bindings:
  - {role: editor, provider: corp, when: has(claims.tenant) && claims.tenant == path.tenant}
routes:
  - {path: "/tenants/{tenant}", allow: [{role: editor}]}
""",
    ),
    Code.WILDCARD_PERMISSION: Advice(
        why="""\
`*` is every permission, those included that rules will ask for one day. Whoever adds such a rule does not think of this
role; a list, or a group as in `orders:*`, has to be widened by somebody who does.""",
        wrong="""\
roles: {admin: {permissions: ["*"]}}
bindings:
  - {role: admin, subjects: [{group: staff}]}
routes:
  - {path: /orders, allow: [{permission: "orders:read"}]}
""",
        right="""\
roles: {admin: {permissions: ["orders:*"]}}
bindings:
  - {role: admin, subjects: [{group: staff}]}
routes:
  - {path: /orders, allow: [{permission: "orders:read"}]}
""",
    ),
}


def kind_of(code: AnyCode) -> str:
    """What the code is about, by its hundred."""
    if isinstance(code, RegoCode):
        return "Rego modules and their data"
    return _KINDS[code.value[3]]


def is_warning(code: AnyCode) -> bool:
    """Whether a set with this finding may be served."""
    return code.value.startswith("EAZ9")


def find(text: str) -> AnyCode | None:
    """The code that somebody writes as `EAZ902`, `eaz902` or `902`; None when there is none."""
    value = text.upper()
    value = value if value.startswith("EAZ") else f"EAZ{value}"
    return next((code for code in ALL_CODES if code.value == value), None)
