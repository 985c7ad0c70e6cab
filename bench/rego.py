"""What a Rego decision costs alone: the generated Python, without gRPC, tokens and reply.

Two policies: roles from the caller's claims against permissions in data, of any number of entries, ten to a role, of
which a caller has three; and a rule for each of many paths, of which one is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bench.workloads import WrongReplyError
from extauthz.languages.rego import Limits, Module, RegoProgram, load_modules
from extauthz.sources.rego_planner import plan_with_regopy

ENTRIES: Final = (10, 1_000, 10_000)
RULES: Final = (10, 1_000)

_ENTRIES_PER_ROLE: Final = 10
_ROLES_OF_THE_CALLER: Final = 3
_BATCHES: Final = 7
_NOW_NS: Final = 1_800_000_000 * 10**9
_LIMITS: Final = Limits(None, 1_000_000)

_RBAC = """\
package rbac

default allow := false

allow if {
	some role in input.claims.roles
	some permission in data.permissions[role]
	permission.method == input.attributes.request.http.method
	startswith(input.attributes.request.http.path, permission.prefix)
}
"""


@dataclass(frozen=True, slots=True)
class RegoFigure:
    """What one policy took."""

    name: str
    what: str
    us: float
    """CPU time of a decision, in microseconds: of the fastest batch, which others disturbed least."""


def measure_rego(decisions: int) -> list[RegoFigure]:
    """Measure all policies, with so many decisions a batch.

    Raises:
        WrongReplyError: a decision is not what it should be.
    """
    asked = [
        (f"rbac-{size}", f"three roles and prefixes, {size:,} entries", rbac_program(size), "rbac/allow", "/prefix-9/x")
        for size in ENTRIES
    ]
    asked += [
        (f"rules-{size}", f"{size:,} rules on distinct paths", rules_program(size), "paths/allow", f"/path/{size - 1}")
        for size in RULES
    ]
    return [
        RegoFigure(name, what, _fastest(program, rule, question(path), decisions))
        for name, what, program, rule, path in asked
    ]


def rbac_program(entries: int) -> RegoProgram:
    """A caller's last role has the entry that counts."""
    roles = max(entries // _ENTRIES_PER_ROLE, _ROLES_OF_THE_CALLER)
    per_role = entries // roles
    permissions = {
        f"role-{role}": [{"method": "GET", "prefix": f"/prefix-{role * 10 + entry}/"} for entry in range(per_role)]
        for role in range(roles)
    }
    permissions[f"role-{_ROLES_OF_THE_CALLER - 1}"][-1] = {"method": "GET", "prefix": "/prefix-9/"}
    return _load(_RBAC, {"permissions": permissions}, "rbac/allow")


def rules_program(rules: int) -> RegoProgram:
    """One rule for each path."""
    return _load("package paths\n\ndefault allow := false\n\n" + "\n".join(_path_rules(rules)), {}, "paths/allow")


def _path_rules(rules: int) -> Iterator[str]:
    for number in range(rules):
        yield (
            "allow if {\n"
            f'\tinput.attributes.request.http.path == "/path/{number}"\n'
            '\tinput.attributes.request.http.method == "GET"\n'
            '\t"role-2" in input.claims.roles\n'
            "}\n"
        )


def question(path: str) -> dict[str, Any]:
    """An input of about 1.4 KB, as a proxy's request makes it."""
    headers = {f"x-header-{number}": "0123456789abcdef" * 3 for number in range(12)}
    http = {"id": "8541933219405823017", "method": "GET", "path": path, "host": "shop.example", "headers": headers}
    return {
        "attributes": {"source": {"address": {"socketAddress": {"address": "10.0.7.12"}}}, "request": {"http": http}},
        "parsed_path": path.strip("/").split("/"),
        "claims": {"sub": "alice", "roles": [f"role-{number}" for number in range(_ROLES_OF_THE_CALLER)]},
    }


def _load(text: str, data: dict[str, Any], path: str) -> RegoProgram:
    return load_modules([Module("policy.rego", text)], data, [path], plan_with_regopy)


def _fastest(program: RegoProgram, path: str, document: dict[str, Any], decisions: int) -> float:
    batches = []
    for _ in range(_BATCHES):
        started = time.process_time()
        for _ in range(decisions):
            allowed = program.evaluate(path, document, now_ns=_NOW_NS, strict=True, limits=_LIMITS)
            if allowed is not True:
                raise WrongReplyError(f"{path} is {allowed!r}, not true")
        batches.append(time.process_time() - started)
    return min(batches) / decisions * 1e6
