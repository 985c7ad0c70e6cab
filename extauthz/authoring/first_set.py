"""A first policy set with its tests, to begin from: short, commented, and whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who vouches for the callers of the set."""

    url: str
    audience: str
    jwks_uri: str


def first_set(name: str, issuer: Issuer) -> Mapping[str, str]:
    """The files of the set, by file name; what is inserted is quoted, so that it stays what it is."""
    values = {"NAME": name, "ISSUER": issuer.url, "AUDIENCE": issuer.audience, "JWKS": issuer.jwks_uri}
    return {"policy.yaml": _filled(_POLICY, values), "policy_test.yaml": _TESTS}


def _filled(template: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        # A JSON string is a YAML one (YAML 1.2, section 1.3).
        template = template.replace(f"<{key}>", json.dumps(value))
    return template


_POLICY = """\
# A policy set: who may do what. Check it with `extauthz policy validate`, test it with `extauthz policy test`, and see
# why a request is decided as it is with `extauthz policy explain`. What no rule allows is denied.
version: 1
name: <NAME>

# Who vouches for callers. A token must come from this issuer, be meant for this audience, and be signed with one of the
# issuer's keys by one of these algorithms.
providers:
  corp:
    issuer: <ISSUER>
    audiences: [<AUDIENCE>]
    algorithms: [ES256, RS256]
    jwks: {uri: <JWKS>}
    # Where the token says what its holder is.
    claims:
      roles: roles
      scopes: scope

# What callers can be, and what that permits.
roles:
  reader: {permissions: ["documents:read"]}
  editor: {inherits: [reader], permissions: ["documents:write"]}

# For every route. A deny wins over every allow, and one that cannot be evaluated denies: `has` keeps it from failing
# for tokens without the claim.
deny:
  - {name: suspended, when: "has(claims.suspended) && claims.suspended != false"}

routes:
  # Probes have no token.
  - name: health
    path: /healthz
    methods: [GET]
    public: true

  - name: list-documents
    path: /documents
    methods: [GET]
    allow:
      - {name: reader, permission: "documents:read"}
      # Programs have scopes instead of roles.
      - {name: program, scope: documents.read}

  - name: document
    path: /documents/{id}
    methods: [GET, PUT]
    allow:
      - {name: editor, permission: "documents:write"}
      # Readers read. Within a rule everything must hold.
      - {name: reader, permission: "documents:read", when: "request.method == 'GET'"}

# The upstream may trust this header: what a client sends under its name is removed.
upstream_headers:
  set: {x-user: "{principal.subject}"}
"""

_TESTS = """\
# Tests of policy.yaml. Tokens are signed by a key made for the run, so that nothing is fetched and the whole
# authentication is tested. A caller's name is the token's `sub` unless it says otherwise.
principals:
  rita: {token: {roles: [reader]}}
  ed: {token: {roles: [editor]}}
  backup: {token: {scope: documents.read}}
  stranger: {token: {}}
  suspended: {token: {roles: [editor], suspended: true}}
  pardoned: {token: {roles: [editor], suspended: false}}

requests:
  list: {path: /documents}
  read: {path: /documents/7}
  write: {method: PUT, path: /documents/7}

# Who may do what, all pairs: allow, deny, a status or a reason.
tables:
  - name: documents
    expect:
      anonymous: {list: 401, read: 401, write: 401}
      stranger: {list: deny, read: deny, write: deny}
      rita: {list: allow, read: allow, write: deny}
      ed: {list: allow, read: allow, write: allow}
      backup: {list: allow, read: deny, write: deny}
      suspended: {list: denied_by_policy, read: denied_by_policy, write: denied_by_policy}
      pardoned: {list: allow, read: allow, write: allow}

tests:
  - name: probes need no token
    request: {path: /healthz}
    expect: allow
  - name: the upstream learns who asks
    principal: rita
    request: read
    expect: {rules: document.allow.reader, upstream: {x-user: rita}}
  - name: an expired token is no token
    principal: {token: {sub: rita, roles: [reader]}, expires_in: -1h}
    request: list
    expect: token_expired
  - name: what no route owns is denied
    principal: ed
    request: {path: /secrets}
    expect: no_route
"""
