"""Roles with all they inherit, and bindings, which give roles to callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import RoleText
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, did_you_mean, quoted
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
            hint = did_you_mean(scalar.text, names - {entry.name})
            report.error(Code.UNKNOWN_ROLE, scalar, f"there is no role {quoted(scalar.text)}", hint)
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
        self._roles = roles
        self._known: dict[str, frozenset[str]] = {}

    def roles_for(self, permission: str) -> frozenset[str]:
        """All roles that grant it, themselves or through what they inherit."""
        known = self._known.get(permission)
        if known is None:
            known = frozenset(
                name for name, role in self._roles.items() if any(grants(p, permission) for p in role.permissions)
            )
            self._known[permission] = known
        return known

    @property
    def permissions(self) -> frozenset[str]:
        """Every permission as some role has it."""
        return frozenset(permission for role in self._roles.values() for permission in role.permissions)


def grants(granted: str, permission: str) -> bool:
    """Whether a role's permission covers the one that a rule asks for."""
    return granted in {"*", permission} or (granted.endswith(":*") and permission.startswith(granted[:-1]))
