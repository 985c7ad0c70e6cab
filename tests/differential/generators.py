"""Policy sets, requests and tokens, type-directed and drawn from a seeded generator.

Sets that load, requests that hit their routes or narrowly miss them, claims of the types that are mapped and of others.
Not by hypothesis: it repeats boundary values, so that nearly every request fails early, by the same few checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from tests.harness.case import CaseRequest
from tests.harness.tokens import Token

Json = Any
T = TypeVar("T")

ROLES = ("reader", "editor", "admin")
SUBJECTS = ("alice", "bob", "Alice")
GROUPS = ("staff", "ops")
SCOPES = ("orders.read", "orders.write", "a.b")
_NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "127.0.0.2/32", "::/0")


def _one_in(random: Random, number: int) -> bool:
    return random.randrange(number) == 0


def _some(random: Random, values: Sequence[T], least: int = 1, most: int = 2) -> list[T]:
    return random.sample(values, random.randint(least, min(most, len(values))))


# --- Conditions ----------------------------------------------------------------------------------------------------

_ATOMS = (
    "claims.level >= 3",
    "claims.level == 2",
    "claims.level < 2.5",
    "claims.active == true",
    "!(claims.active == false)",
    "has(claims.active)",
    "has(claims.active) && claims.active != false",
    "claims.tenant == 'acme'",
    "claims.tenant != 'acme'",
    "claims.tenant.startsWith('ac')",
    "claims.tenant.contains('c')",
    "claims.tenant.matches('^a[a-z]+$')",
    "claims.tenant in ['acme', 'corp']",
    "'red' in claims.tags",
    "!('red' in claims.tags)",
    "size(claims.tags) > 1",
    "claims.tags == ['red', 'blue']",
    "claims.address.city == 'Berlin'",
    "has(claims.address.city)",
    "has(claims.address) && has(claims.address.city)",
    "claims.nothing == null",
    "request.headers['x-a'] == '1'",
    "request.headers['x-a'] != '1'",
    "'x-a' in request.headers",
    "!('x-b' in request.headers)",
    "'x-b' in request.headers && request.headers['x-b'] == '1'",
    "request.headers['x-b'].matches('^[0-9]+$')",
    "request.method == 'GET'",
    "request.method in ['POST', 'PUT']",
    "request.host == 'shop.example'",
    "request.host.endsWith('example')",
    "request.scheme == 'http'",
    "request.url_path == '/a'",
    "request.url_path.endsWith('b')",
    "request.time > timestamp('2020-01-01T00:00:00Z')",
    "request.time.getFullYear() > 3000",
    "principal.authenticated",
    "principal.subject == 'alice'",
    "principal.provider == 'corp'",
    "request.query['q'] == '1'",
    "claims.tags.exists(t, t == 'red')",
    "claims.tags.all(t, t.startsWith('r'))",
    "claims.members.exists(m, m.tenant == 'acme' && m.level > 1)",
    "claims.members.all(m, has(m.tenant))",
    "'reader' in principal.roles",
    "'staff' in principal.groups",
)
_PATH_ATOMS = ("path.id == principal.subject", "path.id in claims.tags", "path.id.startsWith('a')", "has(path.id)")


def condition(random: Random, path: str, depth: int = 2) -> str:
    """CEL that is true, false or an error of many requests."""
    if depth == 0 or not _one_in(random, 2):
        atoms: tuple[str, ...] = (*_ATOMS, *(_PATH_ATOMS * 4 if "{id}" in path else ("has(path.id)",)))
        return random.choice(atoms)
    parts = [condition(random, path, depth - 1) for _ in range(3)]
    return random.choice(
        (
            f"({parts[0]}) && ({parts[1]})",
            f"({parts[0]}) || ({parts[1]})",
            f"!({parts[0]})",
            f"({parts[0]}) ? ({parts[1]}) : ({parts[2]})",
        )
    )


# --- Policy sets ---------------------------------------------------------------------------------------------------

_PATHS = ("/", "/a", "/a/{id}", "/a/{id}/b", "/a/**", "/{id}", "/**", "/a.b/c")
_TEMPLATES = (
    "{principal.subject}",
    "u-{principal.subject}",
    "{claims.tenant}",
    "{claims.address.city}",
    "{principal.provider}",
    "t={claims.level}",
    "{principal.roles}",
    "{path.id}",
    "fixed 100%",
)


def rule(random: Random, path: str, authentication: str) -> dict[str, Json]:
    """A rule of one or two keys."""
    keys: dict[str, Callable[[], Json]] = {
        "role": lambda: _some(random, ROLES),
        "permission": lambda: random.choice(("orders:read", "orders:write", "users:edit")),
        "scope": lambda: _some(random, SCOPES),
        "group": lambda: _some(random, GROUPS),
        "subject": lambda: _some(random, SUBJECTS),
        "when": lambda: condition(random, path),
    }
    rare: dict[str, Callable[[], Json]] = {
        "authenticated": lambda: True,
        "direct_remote_ip": lambda: _some(random, _NETWORKS),
        "remote_ip": lambda: _some(random, _NETWORKS),
    }
    if authentication != "required":
        rare["anyone"] = lambda: True
    if authentication == "none":
        keys = {"when": keys["when"]}
        del rare["authenticated"]
    chosen = [random.choice(sorted(rare if _one_in(random, 5) else keys)) for _ in range(random.randint(1, 2))]
    return {name: {**keys, **rare}[name]() for name in dict.fromkeys(chosen)}


def route(random: Random, name: str, path: str) -> dict[str, Json]:
    """A route with its rules."""
    authentication = random.choice(("required", "required", "required", "optional", "none"))
    written: dict[str, Json] = {"name": name, "path": path, "authentication": authentication}
    written["allow"] = [rule(random, path, authentication) for _ in range(random.randint(1, 3))]
    for kind in ("deny", "require"):
        if _one_in(random, 4):
            written[kind] = [rule(random, path, authentication)]
    if _one_in(random, 3):
        written["methods"] = random.choice((["GET"], ["POST", "PUT"], ["GET", "OPTIONS"]))
    if _one_in(random, 5):
        written["host"] = random.choice(("shop.example", "*.example"))
    if _one_in(random, 5):
        written["upstream_headers"] = {"set": {"x-user": random.choice(_TEMPLATES)}, "remove": ["x-b"]}
    if _one_in(random, 6):
        written["cors"] = {"origins": random.choice((["https://app.example"], ["*"]))}
    return written


def policy_set(random: Random) -> dict[str, Json]:
    """A set of one provider, three roles and up to five routes; not every one loads."""
    provider: dict[str, Json] = {
        "issuer": "https://issuer.example",
        "audiences": random.choice((["shop"], ["shop", "other"])),
        "algorithms": ["ES256"],
        "jwks": {"file": "corp.jwks.json"},
        "claims": {"roles": random.choice(("roles", ["roles", "realm.roles"])), "groups": "groups", "scopes": "scope"},
    }
    if _one_in(random, 4):
        provider["may_assert"] = {"roles": ["reader"], "groups": ["staff"], "scopes": ["orders.read", "a.b"]}
    paths = dict.fromkeys((*_some(random, _PATHS, most=4), random.choice(("/**", "/a/{id}"))))
    whole: dict[str, Json] = {
        "version": 1,
        "name": "generated",
        "providers": {"corp": provider},
        "roles": {
            "reader": {"permissions": ["orders:read"]},
            "editor": {"inherits": ["reader"], "permissions": ["orders:write"]},
            "admin": {"permissions": ["*"]},
        },
        "routes": [route(random, f"r{number}", path) for number, path in enumerate(paths)],
    }
    if _one_in(random, 2):
        whole["bindings"] = [_binding(random)]
    if _one_in(random, 4):
        whole["deny"] = [{"name": "set", "when": condition(random, "/")}]
    if _one_in(random, 4):
        whole["upstream_headers"] = {"set": {"x-user": random.choice(_TEMPLATES)}}
    if _one_in(random, 4):
        whole["paths"] = {"trailing_slash": "distinct"}
    return whole


def _binding(random: Random) -> dict[str, Json]:
    subject = {"subject": random.choice(SUBJECTS), "group": random.choice(GROUPS)}
    kept = _some(random, sorted(subject))
    binding = {"role": random.choice(ROLES), "subjects": [{key: subject[key] for key in kept}]}
    return {**binding, "when": condition(random, "/", 1)} if _one_in(random, 2) else binding


# --- Requests ------------------------------------------------------------------------------------------------------

_USUAL_PATHS = ("/", "/a", "/a/alice", "/a/red", "/a/x/b", "/a.b/c", "/b", "/alice")
_OTHER_PATHS = (
    *("/a/", "/a/x/b/", "/axb/c", "/a/x/y/z", "/a?q=1", "/a/bob?x=/b", "/A", "/a%62", "/a/a%20b", "/a/%61lice"),
    *("/a//b", "/a/../b", "/a;v=1", "/a/%2Fb", "/a/...", "/a/é", "/a/.hidden", "/a/a:b", "/a/%3A"),
)
_HOSTS = ("shop.example:8080", "SHOP.example", "x.example.", "other", "a@b", "shop.example, x")

_ODD: tuple[Json, ...] = (
    *(None, 3, 2.5, True, False, "", "a\0b", {"a": 1}, [], ["x", 3], ["a\0b"], [["x"]], [None], "x" * 300, "é"),
)


def _texts(random: Random, values: Sequence[str]) -> Json:
    return random.choice((random.choice(values), _some(random, (*values, "unknown"), least=0, most=3)))


_MEMBERS: tuple[Json, ...] = (
    *({"tenant": "acme", "level": 2}, {"tenant": "acme"}, {"tenant": "corp", "level": 3}, {}, "acme", {"level": "x"}),
    *({"tenant": "a\0b"}, {"tenant": ["acme"]}, {"tenant": {"x": "\0"}}, None),
)
_CLAIMS: dict[str, Callable[[Random], Json]] = {
    "sub": lambda r: r.choice(SUBJECTS),
    "roles": lambda r: _texts(r, ROLES),
    "realm": lambda r: {"roles": r.choice(_ODD) if _one_in(r, 20) else _texts(r, ROLES)},
    "groups": lambda r: _texts(r, GROUPS),
    "scope": lambda r: r.choice((_texts(r, SCOPES), "orders.read a.b", "orders.readx", " a.b ")),
    "level": lambda r: r.choice((1, 2, 3, 3.5, 2**53, -1)),
    "active": lambda r: r.choice((True, False)),
    "tenant": lambda r: r.choice(("acme", "corp", "a,b", " acme")),
    "tags": lambda r: r.choice((["red"], ["red", "blue"], ["blue", "alice"], "red", [1, 2], [])),
    "address": lambda r: r.choice(({"city": "Berlin"}, {"city": None}, {}, {"city": "a\0b"})),
    "nothing": lambda _: None,
    "members": lambda r: _some(r, _MEMBERS, least=0, most=3),
}
_AUDIENCES: tuple[Json, ...] = (*["shop"] * 60, ["x", "shop"], "shop/", "https://shop", ["shop", 3], "bakery")
_MINTING: tuple[dict[str, Json], ...] = (
    *({} for _ in range(40)),
    {"tamper": "admin"},
    {"issuer": "partner"},
    {"algorithm": "RS256"},
    {"omit": ["exp"]},
    {"header": {"crit": ["x"]}},
)


def token(random: Random) -> Token:
    """A token, mostly good."""
    claims = {
        name: random.choice(_ODD) if _one_in(random, 40) else _CLAIMS[name](random)
        for name in _some(random, sorted(_CLAIMS), least=3, most=10)
    }
    return Token({**claims, "aud": random.choice(_AUDIENCES)}, **random.choice(_MINTING))


def request(random: Random) -> CaseRequest:
    """A request, mostly with a token."""
    headers: list[tuple[str, str]] = []
    for name in ("x-a", "x-b"):
        values = random.choice(
            ((), ("1",), ("2",)) if not _one_in(random, 8) else (("1", "1"), ("1,2",), ("",), ("é",))
        )
        headers += [(name, value) for value in values]
    if _one_in(random, 10):
        headers.append(("origin", random.choice(("https://app.example", "https://evil.example", "a,b"))))
        headers.append(("access-control-request-method", random.choice(("GET", "POST", "TRACE"))))
    if _one_in(random, 10):
        headers.append(("x-user", "root"))
    minted = token(random) if not _one_in(random, 8) else None
    if minted is None and _one_in(random, 4):
        headers.append(("authorization", random.choice(("Basic x", "Bearer", "Bearer x", "bearer x.y.z"))))
    return CaseRequest(
        path=random.choice(_OTHER_PATHS if _one_in(random, 5) else _USUAL_PATHS),
        method=random.choice(("HEAD", "OPTIONS", "PUT", "DELETE") if _one_in(random, 4) else ("GET", "GET", "POST")),
        host=random.choice(_HOSTS) if _one_in(random, 10) else "shop.example",
        headers=tuple(headers),
        token=minted,
        client=random.choice(("127.0.0.1", "127.0.0.1", "127.0.0.2")),
    )
