"""Generated policy sets of any size that all answer the same requests.

A set of N routes has N - 3 routes `/orders-I/{order_id}`, siblings in one level of the route tree, and three of its
own: one whose role nobody holds, one with a condition, one that is public.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from extauthz.demo.issuer import SigningKey, public_key_set

ISSUER = "https://issuer.example"
AUDIENCE = "shop"

_HEAD = f"""\
version: 1
name: bench
providers:
  corp:
    issuer: {ISSUER}
    audiences: [{AUDIENCE}]
    algorithms: [RS256]
    jwks: {{file: keys.json}}
    claims: {{roles: roles}}
roles:
  reader: {{permissions: ["orders:read"]}}
  editor: {{inherits: [reader], permissions: ["orders:write"]}}
  support: {{permissions: ["tickets:*"]}}
  admin: {{permissions: ["*"]}}
upstream_headers:
  set: {{x-user: "{{principal.subject}}"}}
routes:
  - {{name: health, path: /healthz, methods: [GET], public: true}}
  - {{name: users, path: "/admin/users/**", allow: [{{name: admin, role: admin}}]}}
  - name: owned-order
    path: /owned/orders/{{order_id}}
    methods: [GET]
    allow:
      - {{name: owner, when: "request.method == 'GET' && path.order_id in claims.orders"}}
"""
_OWN_ROUTES, _OWN_CONDITIONS = 3, 1


def write_policy(directory: Path, key: SigningKey, *, routes: int, conditions: int = 1) -> Path:
    """Write a set and its key set into a new folder.

    Args:
        directory: where; created.
        key: what tokens are signed with.
        routes: how many routes the set has.
        conditions: how many of them have a CEL condition, no two the same, spread evenly; at least the one named above.

    Returns:
        The folder, as a PATH for commands.
    """
    directory.mkdir()
    (directory / "keys.json").write_text(json.dumps(public_key_set([key])))
    lines = _order_routes(routes - _OWN_ROUTES, conditions - _OWN_CONDITIONS)
    (directory / "policy.yaml").write_text(_HEAD + "".join(lines))
    return directory


_REGO_ROUTES = """\
  - {name: orders, path: "/orders-3/{order_id}", methods: [GET, PUT], allow: [{name: rego, rego: data.bench.allow}]}
"""
_REGO = """\
package bench

default allow := false

allow if {
	some role in input.claims.roles
	some permission in data.permissions[role]
	permission.method == input.attributes.request.http.method
	startswith(input.attributes.request.http.path, permission.prefix)
}
"""
PERMISSIONS = {
    "reader": [{"method": "GET", "prefix": "/orders-"}, {"method": "GET", "prefix": "/items"}],
    "editor": [{"method": "PUT", "prefix": "/orders-"}, {"method": "POST", "prefix": "/items"}],
    "support": [{"method": "GET", "prefix": "/tickets"}],
}


def write_rego_policy(directory: Path, key: SigningKey) -> Path:
    """Write a set whose rule is Rego, with its data and key set, into a new folder: a PATH for commands."""
    directory.mkdir()
    (directory / "keys.json").write_text(json.dumps(public_key_set([key])))
    (directory / "policy.yaml").write_text(_HEAD.partition("routes:\n")[0] + "routes:\n" + _REGO_ROUTES)
    (directory / "policy.rego").write_text(_REGO)
    (directory / "data.json").write_text(json.dumps({"permissions": PERMISSIONS}))
    return directory


def _order_routes(count: int, conditions: int) -> Iterator[str]:
    for number in range(count):
        # True for `conditions` of `count` numbers, evenly spread.
        has_condition = (number + 1) * conditions // count > number * conditions // count
        when = f", when: \"path.order_id != 'frozen-{number}'\"" if has_condition else ""
        yield (
            f'  - {{name: order-{number}, path: "/orders-{number}/{{order_id}}", methods: [GET, PUT], '
            f"allow: [{{name: reader, role: reader{when}}}]}}\n"
        )
