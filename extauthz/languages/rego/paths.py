"""Parts of the documents that a function looks up more than once: they are looked up when it begins.

As long as no `with` of the function replaces a document, `input.request.method` is the same wherever it stands.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Constant, Local, Statement
from extauthz.languages.rego.shape import all_blocks, inner_blocks, uses_of

Path: TypeAlias = tuple[int, tuple[str | int, ...]]
"""A parameter, and the keys that lead into it."""


@dataclass(slots=True)
class Paths:
    """What a function looks up."""

    locals: dict[int, Path] = field(default_factory=dict)
    """Locals that only ever hold what is under one path."""
    early: tuple[Path, ...] = ()
    """Paths that are worth looking up when the function begins, each after those that lead to it."""
    implied: set[int] = field(default_factory=set)
    """The `id` of each look-up on the way to another one right after it, which fails when it does."""


def find_paths(blocks: Iterable[Block], parameters: Iterable[int], wanted: Iterable[Path] = ()) -> Paths:
    """Find the paths of a function.

    Args:
        blocks: its body.
        parameters: where paths can begin.
        wanted: paths to be looked up early in any case.
    """
    blocks = tuple(blocks)
    uses = uses_of(blocks)
    roots = {p for p in parameters if not uses.writers.get(p)}
    paths = Paths({root: (root, ()) for root in roots})
    while _extend(paths, uses.writers, uses.asked):
        pass
    counts: Counter[Path] = Counter()
    _count(blocks, paths, counts, weight=1)
    worthwhile = {path for path, count in counts.items() if count > 1} | {p for p in wanted if p[0] in roots}
    prefixes = {(root, keys[:length]) for root, keys in worthwhile for length in range(1, len(keys) + 1)}
    paths.early = tuple(sorted(prefixes, key=lambda path: (path[0], len(path[1]), str(path[1]))))
    paths.implied = _implied(blocks, paths, uses.readers)
    for root in roots:
        del paths.locals[root]
    return paths


def _implied(blocks: Iterable[Block], paths: Paths, readers: Mapping[int, list[Statement]]) -> set[int]:
    early = set(paths.early)
    followed: dict[int, list[Statement]] = {}
    for block in all_blocks(blocks):
        for statement, following in itertools.pairwise(block):
            match statement, following:
                case (ir.Dot(target=target), ir.Dot(source=Local(index=source), target=last)) if (
                    target == source and paths.locals.get(target) in early and paths.locals.get(last) in early
                ):
                    followed.setdefault(target, []).append(statement)
                case _:
                    pass
    return {id(s) for target, found in followed.items() if len(readers[target]) == len(found) for s in found}


def _extend(paths: Paths, writers: Mapping[int, list[Statement]], asked: set[int]) -> bool:
    """Add locals whose path follows from what is known; whether there were any."""
    found = False
    for local, statements in writers.items():
        if local in paths.locals or local in asked:
            continue
        candidates = {_path(statement, paths) for statement in statements}
        path = candidates.pop()
        if path is not None and not candidates:
            paths.locals[local] = path
            found = True
    return found


def _path(statement: Statement, paths: Paths) -> Path | None:
    match statement:
        case ir.Dot(source=Local(index=source), key=Constant(value=str(key))) if source in paths.locals:
            root, keys = paths.locals[source]
            return (root, (*keys, key))
        case ir.Assign(source=Local(index=source)) if source in paths.locals:
            return paths.locals[source]
        case _:
            return None


def _count(blocks: Iterable[Block], paths: Paths, counts: Counter[Path], weight: int) -> None:
    """Count look-ups; one in a loop counts for many."""
    for block in blocks:
        for statement in block:
            if isinstance(statement, ir.Dot) and statement.target in paths.locals:
                counts[paths.locals[statement.target]] += weight
            inner = 2 if isinstance(statement, ir.Scan) else weight
            _count(inner_blocks(statement), paths, counts, inner)
