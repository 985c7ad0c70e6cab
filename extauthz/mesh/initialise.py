"""Capturing traffic: all of it or nothing, verified, and again without effect.

The order is: everything that can be wrong is found before anything is changed; each change is noted together with how
to undo it; what the kernel then says is compared with what was wanted. On any failure everything is as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.capture import Capture
from extauthz.mesh.iptables import Iptables, Kind, choose_kind, open_iptables, removal, replacement
from extauthz.mesh.machine import require_capabilities
from extauthz.mesh.routing import KernelEntry, kernel_entries
from extauthz.mesh.rules import build_rules
from extauthz.mesh.ruleset import OUTPUT, PREROUTING, Ruleset, jump_target
from extauthz.mesh.saved import Saved, difference, left_over

_OWN_TARGETS = frozenset({"RETURN", "MARK", "CONNMARK"})
"""Of the rules that some flags put into built-in chains."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be captured, of which address families, with which programs."""

    capture: Capture
    versions: tuple[int, ...]
    """4, 6 or both."""
    name_servers: tuple[IPv4Address | IPv6Address, ...] = ()
    kind: Kind | None = None
    """Which iptables; None: what this machine uses."""

    def rules(self, version: int) -> Ruleset:
        """Of one address family."""
        return build_rules(self.capture, version, self.name_servers)

    def entries(self) -> list[KernelEntry]:
        """Of the routing tables, of all families."""
        return [entry for version in self.versions for entry in kernel_entries(self.capture, version)]


def initialise(plan: Plan) -> bool:
    """Put the capture into force.

    Returns:
        Whether anything had to be changed.

    Raises:
        EnvironmentUnfitError: it could not be put into force; everything is as before.
    """
    families = [(plan.rules(each.version), each) for each in _open(plan)]
    entries = [entry for entry in plan.entries() if not entry.is_there()]
    before = [(wanted, iptables, iptables.save()) for wanted, iptables in families]
    for wanted, _, saved in before:
        _refuse_earlier_exclusions(wanted, saved)
    changes = [each for each in before if difference(each[0], each[2]) is not None]
    with _undone_on_failure() as undo:
        for entry in entries:
            entry.put()
            undo.callback(entry.take_away)
        for wanted, iptables, saved in changes:
            tables = sorted({*wanted.tables, *(chain.table for chain in saved.own_chains)})
            # Noted first: of several tables, the first may be changed when the second fails.
            undo.callback(iptables.put_back, saved, tables)
            iptables.apply(replacement(wanted, saved))
        _verify(families, entries)
    return bool(entries or changes)


def clean_up(plan: Plan) -> bool:
    """Remove what `initialise` with the same plan puts there, and any chain of ours; whether there was anything.

    Raises:
        EnvironmentUnfitError: a program is missing or failed.
    """
    removed = False
    for iptables in _open(plan):
        payload = removal(plan.rules(iptables.version), iptables.save())
        if payload:
            iptables.apply(payload)
            removed = True
    for entry in reversed(plan.entries()):
        if entry.is_there():
            entry.take_away()
            removed = True
    return removed


def _open(plan: Plan) -> Sequence[Iptables]:
    kind = choose_kind(plan.kind)
    require_capabilities(*kind.capabilities)
    return [open_iptables(version, kind) for version in plan.versions]


@contextmanager
def _undone_on_failure() -> Iterator[ExitStack]:
    undo = ExitStack()
    try:
        yield undo
    except BaseException as failure:
        try:
            undo.close()
        except EnvironmentUnfitError as error:
            raise EnvironmentUnfitError(f"{failure}; undoing what was done failed, too ({error})") from failure
        if isinstance(failure, EnvironmentUnfitError):
            raise EnvironmentUnfitError(f"{failure}; everything is as before") from None
        raise


def _refuse_earlier_exclusions(wanted: Ruleset, saved: Saved) -> None:
    """An earlier run with other flags may have left rules in built-in chains that would let traffic past ours."""
    if not saved.own_chains:
        return
    ours = set(left_over(wanted, saved))
    for table in ("mangle", "nat"):
        for name in (PREROUTING, OUTPUT):
            chain = saved.chains.get((table, name))
            for words in chain.rules if chain else ():
                if (table, name, words) not in ours and jump_target(words) in _OWN_TARGETS:
                    raise EnvironmentUnfitError(
                        f"table {table}, chain {name} holds `{' '.join(words)}`, as from an earlier run with other "
                        "flags: run it again with those flags and --cleanup-only; nothing was changed"
                    )


def _verify(families: Sequence[tuple[Ruleset, Iptables]], entries: Sequence[KernelEntry]) -> None:
    for wanted, iptables in families:
        found = difference(wanted, iptables.save())
        if found is not None:
            raise EnvironmentUnfitError(f"the rules are not in force ({found})")
    for entry in entries:
        if not entry.is_there():
            raise EnvironmentUnfitError(f"`ip {' '.join(entry.add)}` had no effect")
