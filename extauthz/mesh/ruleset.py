"""Packet filter rules of one address family: how they are written for iptables-restore, and how they lie in the end.

Rules are kept as the words of an iptables command, in the order in which they are given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

PREROUTING: Final = "PREROUTING"
OUTPUT: Final = "OUTPUT"
_BUILT_IN: Final = frozenset({PREROUTING, OUTPUT, "INPUT", "FORWARD", "POSTROUTING"})
OWN_PREFIX: Final = "ISTIO_"
"""Every chain that is not built in is ours, and starts with this."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and where it goes."""

    table: str
    chain: str
    words: tuple[str, ...]
    position: int | None = None
    """Where it is inserted, from 1; None: it is appended."""

    def render(self) -> str:
        """The line for iptables-restore."""
        command = ["-A", self.chain] if self.position is None else ["-I", self.chain, str(self.position)]
        return " ".join([*command, *self.words])


@dataclass
class Ruleset:
    """The rules of one address family, in the order in which they are applied."""

    version: int
    """4 or 6."""
    rules: list[Rule] = field(default_factory=list)

    def append(self, table: str, chain: str, words: str) -> None:
        """Add a rule at the end of its chain."""
        self.rules.append(Rule(table, chain, tuple(words.split())))

    def insert(self, table: str, chain: str, position: int, words: str) -> None:
        """Add a rule at a position of its chain, counted from 1, as of then."""
        self.rules.append(Rule(table, chain, tuple(words.split()), position))

    @property
    def tables(self) -> tuple[str, ...]:
        """Those with rules, sorted."""
        return tuple(sorted({rule.table for rule in self.rules}))

    def own_chains(self, table: str) -> tuple[str, ...]:
        """Our chains of a table, in the order in which they are first used; those only jumped to come last."""
        rules = [rule for rule in self.rules if rule.table == table]
        used = [rule.chain for rule in rules] + [target for rule in rules if (target := jump_target(rule.words))]
        return tuple(dict.fromkeys(chain for chain in used if chain.startswith(OWN_PREFIX)))

    def render(self) -> str:
        """The input for `iptables-restore --noflush` where none of our chains exists."""
        lines: list[str] = []
        for table in self.tables:
            lines += [f"* {table}", *(f"-N {chain}" for chain in self.own_chains(table))]
            lines += [rule.render() for rule in self.rules if rule.table == table]
            lines.append("COMMIT")
        return "".join(f"{line}\n" for line in lines)

    def layout(self) -> Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]:
        """What each chain holds in the end, by table and chain: the rules' words in the order of traversal."""
        chains: dict[tuple[str, str], list[tuple[str, ...]]] = {
            (table, chain): [] for table in self.tables for chain in self.own_chains(table)
        }
        for rule in self.rules:
            chain = chains.setdefault((rule.table, rule.chain), [])
            chain.insert(len(chain) if rule.position is None else rule.position - 1, rule.words)
        return {where: tuple(rules) for where, rules in chains.items()}


def jump_target(words: Iterable[str]) -> str | None:
    """Where a rule sends what it matches: a target or a chain."""
    iterator: Iterator[str] = iter(words)
    for word in iterator:
        if word in {"-j", "--jump", "-g", "--goto"}:
            return next(iterator, None)
    return None


def is_built_in(chain: str) -> bool:
    """Whether the kernel has this chain by itself."""
    return chain in _BUILT_IN
