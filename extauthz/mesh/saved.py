"""What iptables-save prints, and whether a rule set is in force in it.

Rules come back from the kernel in other words than they went in (`-m tcp`, hexadecimal marks, options in an order of
their own). Both sides are brought into one form: the options of a rule, each with its argument, as a set. Order
between rules is kept, since it decides.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from extauthz.mesh.ruleset import OWN_PREFIX, Ruleset, is_built_in, jump_target

Words: TypeAlias = tuple[str, ...]
_Form: TypeAlias = frozenset[tuple[str, ...]]

_MARKS: Final = frozenset({"--mark", "--set-xmark", "--tproxy-mark", "--nfmask", "--ctmask"})
_NAMES: Final = {"--to-port": "--to-ports", "--set-mark": "--set-xmark"}
_PROTOCOLS: Final = {"6": "tcp", "17": "udp"}
_IMPLIED: Final = frozenset({("-m", "tcp"), ("-m", "udp"), ("--on-ip", "0.0.0.0"), ("--on-ip", "::")})  # noqa: S104
_WHOLE: Final = 0xFFFFFFFF
_WITHOUT_ARGUMENT: Final = frozenset({"--save-mark", "--restore-mark"})


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as it is now."""

    table: str
    name: str
    rules: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """The rules of one address family as they are now."""

    text: str
    """As printed; counters included, so that it can be put back."""
    chains: Mapping[tuple[str, str], Chain]

    @property
    def own_chains(self) -> tuple[Chain, ...]:
        """Those that are ours, or another mesh's of the same dialect."""
        return tuple(chain for chain in self.chains.values() if chain.name.startswith(OWN_PREFIX))

    @property
    def has_rules(self) -> bool:
        """Whether there is any rule at all."""
        return any(chain.rules for chain in self.chains.values())

    def table_text(self, table: str) -> str:
        """The part for one table; without rules if it has none."""
        lines: list[str] = []
        within = False
        for line in self.text.splitlines():
            within = within or line == f"*{table}"
            if within:
                lines.append(line)
            if line == "COMMIT":
                within = False
        return "".join(f"{line}\n" for line in lines or [f"*{table}", "COMMIT"])


def parse_saved(text: str) -> Saved:
    """Read what iptables-save prints, with counters or without."""
    names: list[tuple[str, str]] = []
    rules: dict[tuple[str, str], list[Words]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            names.append((table, line[1:].split()[0]))
        elif line.startswith(("-A ", "[")):
            words = shlex.split(line)
            if words[0].startswith("["):  # [packets:bytes]
                words = words[1:]
            rules.setdefault((table, words[1]), []).append(tuple(words[2:]))
    return Saved(text, {where: Chain(*where, tuple(rules.get(where, ()))) for where in [*names, *rules]})


def difference(wanted: Ruleset, saved: Saved) -> str | None:
    """The first thing in which what is there is not what is wanted; None if the rules are in force.

    Our chains must hold exactly the wanted rules, in order, and there must be no further ones. Built-in chains must
    hold the wanted rules in order; others may lie between them.
    """
    layout = wanted.layout()
    for chain in saved.own_chains:
        if (chain.table, chain.name) not in layout:
            return f"table {chain.table} has a chain {chain.name} that these flags do not make"
    for (table, name), rules in layout.items():
        found = saved.chains.get((table, name))
        if found is None:
            return f"table {table} has no chain {name}"
        forms = [_form(words) for words in rules]
        there = [_form(words) for words in found.rules]
        if is_built_in(name):
            there = [form for form in there if form in forms]
        for place, words in enumerate(rules):
            if place >= len(there) or there[place] != forms[place]:
                return f"table {table}, chain {name}: rule {place + 1} is not `{' '.join(words)}`"
        if len(there) > len(forms):
            return f"table {table}, chain {name} has more rules than these flags make"
    return None


def left_over(wanted: Ruleset, saved: Saved) -> Iterator[tuple[str, str, Words]]:
    """The rules in built-in chains that belong to `wanted`, or jump to chains of ours: table, chain, words as saved."""
    layout = wanted.layout()
    for chain in saved.chains.values():
        if is_built_in(chain.name):
            forms = {_form(words) for words in layout.get((chain.table, chain.name), ())}
            for words in chain.rules:
                if (jump_target(words) or "").startswith(OWN_PREFIX) or _form(words) in forms:
                    yield chain.table, chain.name, words


def _form(words: Sequence[str]) -> _Form:
    """The rule as a set of options: equal for equal rules, whoever wrote them."""
    return frozenset(option for option in _options(words) if option not in _IMPLIED)


def _options(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    position = 0
    negated: tuple[str, ...] = ()
    while position < len(words):
        word = _NAMES.get(words[position], words[position])
        position += 1
        if word == "!":
            negated = ("!",)
            continue
        if word in _WITHOUT_ARGUMENT or position == len(words):
            yield (*negated, word)
        elif word in {"--nfmask", "--ctmask"}:
            if int(words[position], 0) != _WHOLE:
                yield (*negated, word, words[position])
            position += 1
        else:
            yield (*negated, word, _argument(word, words[position]))
            position += 1
        negated = ()


def _argument(option: str, text: str) -> str:
    if option in _MARKS:
        value, _, mask = text.partition("/")
        return f"{int(value, 0)}/{int(mask, 0) if mask else _WHOLE}"
    if option == "-p":
        return _PROTOCOLS.get(text, text)
    if option == "--ctstate":
        return ",".join(sorted(text.split(",")))
    return text
