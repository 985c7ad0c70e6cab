"""Roles with all they inherit, and bindings, which give roles to callers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import RoleText
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.shapes import Entry, texts
from extauthz.model.policy import Role


def read_roles(entries: Sequence[Entry[RoleText]], report: Report) -> dict[str, Role]:
    """The declared roles by name, permissions inherited; a role that is badly written is still declared."""
    inherits = {entry.name: _inherited(entry, entries, report) for entry in entries}
    _refuse_cycles(inherits, report)
    own = {entry.name: _permissions(entry.value, report) for entry in entries}
    roles = {}
    for name in own:
        closure = _closure(name, inherits)
        roles[name] = Role(name, closure, frozenset(permission for role in closure for permission in own[role]))
    return roles


def _inherited(entry: Entry[RoleText], entries: Sequence[Entry[RoleText]], report: Report) -> dict[str, Scalar]:
    """The declared roles that one inherits, with where it says so."""
    names = {other.name for other in entries}
    inherited: dict[str, Scalar] = {}
    for scalar in (entry.value.inherits if entry.value is not None else None) or ():
        if scalar.text in names:
            inherited.setdefault(scalar.text, scalar)
        else:
            report.unknown(Code.UNKNOWN_ROLE, scalar, "role", names - {entry.name})
    return inherited


def _refuse_cycles(inherits: Mapping[str, Mapping[str, Scalar]], report: Report) -> None:
    """Reports each cycle once, at the entry that closes it."""
    finished: set[str] = set()
    for start in inherits:
        trail: list[str] = []
        todo = [(start, iter(inherits[start].items()))] if start not in finished else []
        while todo:
            name, rest = todo[-1]
            if name not in trail:
                trail.append(name)
            following = next(rest, None)
            if following is None:
                finished.add(name)
                trail.pop()
                todo.pop()
            elif following[0] in trail:
                cycle = [*trail[trail.index(following[0]) :], following[0]]
                message = f"a role inherits from itself: {' -> '.join(quoted(role) for role in cycle)}"
                report.error(Code.ROLE_CYCLE, following[1], message)
            elif following[0] not in finished:
                todo.append((following[0], iter(inherits[following[0]].items())))


def _closure(name: str, inherits: Mapping[str, Iterable[str]]) -> frozenset[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        role = todo.pop()
        if role not in found:
            found.add(role)
            todo.extend(inherits[role])
    return frozenset(found)


def _permissions(written: RoleText | None, report: Report) -> tuple[str, ...]:
    permissions = (written.permissions if written is not None else None) or ()
    for scalar in permissions:
        if "*" in scalar.text.removesuffix(":*") and scalar.text != "*":
            message = f"{quoted(scalar.text)} has a wildcard where none is allowed"
            report.error(Code.PERMISSION, scalar, message, "a final `:*`, or `*` alone")
    return texts(permissions)


class Grants:
    """Which roles grant a permission."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self._roles_with: dict[str, set[str]] = {}
        for name, role in roles.items():
            for permission in role.permissions:
                self._roles_with.setdefault(permission, set()).add(name)

    @property
    def permissions(self) -> Collection[str]:
        """Every permission as some role has it."""
        return self._roles_with.keys()

    def roles_for(self, permission: str) -> frozenset[str]:
        """All roles that grant it, themselves or through what they inherit: literally, by `<prefix>:*` or by `*`."""
        wildcards = (f"{permission[: colon.end()]}*" for colon in re.finditer(":", permission))
        granted_by = (self._roles_with.get(granted, ()) for granted in ("*", permission, *wildcards))
        return frozenset().union(*granted_by)
