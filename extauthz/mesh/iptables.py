"""The iptables programs of one address family: which of the two kinds to use, reading and replacing rules.

A payload is one transaction for each table, so at no moment is a table half replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.machine import NET_ADMIN, NET_RAW
from extauthz.mesh.program import find_program, require_program, run_program
from extauthz.mesh.ruleset import Ruleset
from extauthz.mesh.saved import Saved, left_over, parse_saved

_COMMANDS: Final = {4: "iptables", 6: "ip6tables"}
_LOCK_SECONDS: Final = 30
"""How long legacy programs wait for the lock on their tables; the nft ones need none."""


class Kind(StrEnum):
    """Which of the kernel's packet filters the programs speak to."""

    NFT = "nft"
    LEGACY = "legacy"

    @property
    def capabilities(self) -> tuple[int, ...]:
        """What a process needs to use it; legacy opens a raw socket."""
        return (NET_ADMIN,) if self is Kind.NFT else (NET_ADMIN, NET_RAW)


@dataclass(frozen=True, slots=True)
class Iptables:
    """The programs for one address family."""

    version: int
    """4 or 6."""
    kind: Kind
    save_program: str
    restore_program: str

    def save(self) -> Saved:
        """The rules as they are. Raises EnvironmentUnfitError."""
        return parse_saved(run_program([self.save_program, "-c"]))

    def apply(self, payload: str) -> None:
        """Change what the payload says, and nothing else. Raises EnvironmentUnfitError."""
        run_program([self.restore_program, "--noflush", *self._waiting()], payload)

    def put_back(self, saved: Saved, tables: Iterable[str]) -> None:
        """Make these tables what they were, counters included. Raises EnvironmentUnfitError."""
        text = "".join(saved.table_text(table) for table in tables)
        run_program([self.restore_program, "-c", *self._waiting()], text)

    def _waiting(self) -> list[str]:
        return [f"--wait={_LOCK_SECONDS}"] if self.kind is Kind.LEGACY else []


def choose_kind(forced: Kind | None = None) -> Kind:
    """Legacy where this network namespace has legacy rules, else nft, else what `iptables` is.

    Two filters at once would capture twice, so the one in use wins.

    Raises:
        EnvironmentUnfitError: no iptables is installed.
    """
    if forced is not None:
        return forced
    if _has_legacy_rules():
        return Kind.LEGACY
    if find_program("iptables-nft-restore"):
        return Kind.NFT
    iptables = require_program("iptables", "the package iptables")
    return Kind.NFT if "nf_tables" in run_program([iptables, "--version"]) else Kind.LEGACY


def open_iptables(version: int, kind: Kind) -> Iptables:
    """The programs of this kind. Raises EnvironmentUnfitError: they are not installed."""
    command = _COMMANDS[version]
    specific = f"{command}-{kind}"
    # Some distributions ship one kind alone, under the plain name.
    base = specific if find_program(f"{specific}-restore") else command
    restore = require_program(f"{base}-restore", "the package iptables")
    if base == command and ("nf_tables" in run_program([restore, "--version"])) is not (kind is Kind.NFT):
        raise EnvironmentUnfitError(f"{specific}-restore was not found: install the package iptables")
    return Iptables(version, kind, require_program(f"{base}-save", "the package iptables"), restore)


def _has_legacy_rules() -> bool:
    # Asks /proc first: calling the program would load the legacy modules and create their tables.
    for version, command in _COMMANDS.items():
        save = find_program(f"{command}-legacy-save")
        names = f"/proc/net/{'ip' if version == 4 else 'ip6'}_tables_names"
        if save and _is_listed(names) and parse_saved(run_program([save])).has_rules:
            return True
    return False


def _is_listed(names: str) -> bool:
    try:
        with open(names, encoding="ascii") as file:  # noqa: PTH123 - a file of /proc
            return bool(file.read().strip())
    except FileNotFoundError:  # the kernel has no legacy tables
        return False
    except PermissionError:
        raise EnvironmentUnfitError(
            f"{names} cannot be read by this user: run as root, or say which iptables with --force-iptables-binary"
        ) from None


def replacement(wanted: Ruleset, saved: Saved) -> str:
    """The payload that makes `wanted` the only rules of ours, whatever earlier ones there are."""
    return _payload(wanted, saved, installs=True)


def removal(wanted: Ruleset, saved: Saved) -> str:
    """The payload that removes what `wanted` would put there, and our chains; empty if there is nothing."""
    return _payload(wanted, saved, installs=False)


def _payload(wanted: Ruleset, saved: Saved, *, installs: bool) -> str:
    lines: list[str] = []
    leftovers = list(left_over(wanted, saved))
    existing = {(chain.table, chain.name) for chain in saved.own_chains}
    tables = {table for table, *_ in leftovers} | {table for table, _ in existing}
    for table in sorted(tables | set(wanted.tables if installs else ())):
        chains = sorted(name for owner, name in existing if owner == table)
        kept = wanted.own_chains(table) if installs else ()
        lines.append(f"* {table}")
        lines += [f"-D {chain} {_quote(words)}" for owner, chain, words in leftovers if owner == table]
        lines += [f"-F {chain}" for chain in chains]
        lines += [f"-X {chain}" for chain in chains if chain not in kept]
        lines += [f"-N {chain}" for chain in kept if chain not in chains]
        if installs:
            lines += [rule.render() for rule in wanted.rules if rule.table == table]
        lines.append("COMMIT")
    return "".join(f"{line}\n" for line in lines)


def _quote(words: Iterable[str]) -> str:
    """As iptables-restore reads it: double quotes, with backslashes before quotes within."""
    quoted = []
    for word in words:
        escaped = word.replace("\\", "\\\\").replace('"', '\\"')
        quoted.append(f'"{escaped}"' if escaped != word or " " in word or not word else word)
    return " ".join(quoted)
