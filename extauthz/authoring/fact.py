"""Facts that a request lacks or has too much of, and sets of them: the smallest ones win.

`Alternatives` is a disjunction of conjunctions: each set would do. The empty set among them: nothing is needed. No set
at all: nothing helps. A set that holds another one is dropped, and of too many the smallest are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from extauthz.model.access import Principal

MAX_ALTERNATIVES: Final = 64
MAX_FACTS: Final = 8
"""In one set: nobody calls more of them near."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that would have to be so."""

    kind: str
    """`role`, `permission`, `scope`, `group`, `subject`, `provider`, `credential`, `workload`, `remote_ip`,
    `direct_remote_ip`, or what a
    condition reads: `claim`, `header`, `query`, `path`, `body`, `time`, `request`, `condition`."""
    text: str
    """As an author reads it: `role clerk`, `claims.tenant == path.tenant`."""
    now: str = ""
    """What is so instead."""
    implies: frozenset[tuple[str, ...]] = frozenset()
    """The facts whose presence goes without saying when this is so."""
    presence: tuple[str, ...] | None = None
    """What it asks the presence of, when it asks for nothing else."""
    apply: Callable[[Principal], Principal] | None = field(default=None, compare=False)
    """Makes it so of a caller; None when it is not about the caller alone."""


Alternatives: TypeAlias = tuple[frozenset[Fact], ...]
NOTHING_NEEDED: Final[Alternatives] = (frozenset(),)
IMPOSSIBLE: Final[Alternatives] = ()


def only(fact: Fact) -> Alternatives:
    """This one fact would do."""
    return (frozenset({fact}),)


def any_of(choices: Iterable[Alternatives]) -> Alternatives:
    """One of them has to be so."""
    return _smallest(found for choice in choices for found in choice)


def all_of(parts: Iterable[Alternatives]) -> Alternatives:
    """All of them have to be so."""
    together: Alternatives = NOTHING_NEEDED
    for part in parts:
        together = _smallest(_without_implied(one | other) for one in together for other in part)
    return together


def _smallest(found: Iterable[frozenset[Fact]]) -> Alternatives:
    kept: list[frozenset[Fact]] = []
    for facts in sorted(dict.fromkeys(found), key=len):
        if len(facts) <= MAX_FACTS and not any(smaller <= facts for smaller in kept):
            kept.append(facts)
            if len(kept) == MAX_ALTERNATIVES:
                break
    return tuple(kept)


def _without_implied(facts: frozenset[Fact]) -> frozenset[Fact]:
    """Without the presence of what another fact of the set reads."""
    implied = frozenset(path for fact in facts for path in fact.implies)
    return frozenset(fact for fact in facts if fact.presence is None or fact.presence not in implied)


def applied(facts: Iterable[Fact], principal: Principal) -> Principal | None:
    """The caller if all were so; None when one of them is not about the caller alone."""
    # A credential comes first: what is said of the caller is said of whom it names.
    for fact in sorted(facts, key=lambda fact: fact.kind != "credential"):
        if fact.apply is None:
            return None
        principal = fact.apply(principal)
    return replace(principal, derived={})
