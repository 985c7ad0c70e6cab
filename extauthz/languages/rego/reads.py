"""What an evaluation can read of its input: found in the plan, so that nobody builds what no rule looks at.

INVARIANT: never less than what is read. Where it cannot be told, it is everything below the path that can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from extauthz.languages.rego import ir
from extauthz.languages.rego.calls import blocks_at
from extauthz.languages.rego.ir import Block, Constant, Local
from extauthz.languages.rego.paths import find_paths
from extauthz.languages.rego.shape import all_statements, reads

InputPath: TypeAlias = tuple[str, ...]
"""Keys from the input inwards; the empty path is the whole document."""


def input_reads(plan: ir.Plan, path: str) -> frozenset[InputPath]:
    """The paths of the input that a document such as `shop/reports/allow` depends on, none of them within another.

    Args:
        plan: a verified one.
        path: a rule's or an entry point's.

    Raises:
        KeyError: the plan has neither.
    """
    functions = {function.name: function for function in plan.functions}
    found: set[InputPath] = set()
    waiting = [blocks_at(plan, path)]
    seen: set[str] = set()
    while waiting:
        blocks, parameters = waiting.pop()
        own, callees = _reads_of(blocks, parameters, functions)
        found |= own
        waiting += [(functions[name].blocks, functions[name].parameters) for name in callees - seen]
        seen |= callees
    return _outermost(found)


def _reads_of(
    blocks: tuple[Block, ...], parameters: tuple[int, ...], functions: Mapping[str, ir.Function]
) -> tuple[set[InputPath], set[str]]:
    """What blocks read themselves, and the functions to which they hand the input whole."""
    document = parameters[0]
    known: dict[int, InputPath] = {
        local: tuple(map(str, keys))
        for local, (root, keys) in find_paths(blocks, parameters).locals.items()
        if root == document
    }
    known[document] = ()
    found: set[InputPath] = set()
    passed_by: set[InputPath] = set()
    callees: set[str] = set()
    for statement in all_statements(blocks):
        if isinstance(statement, ir.With) and statement.local == document:
            found.add(())
        used = list(reads(statement))
        match statement:
            case ir.Call(function=name, arguments=(Local(index=first), *rest)) if name in functions:
                if first == document:
                    callees.add(name)
                    used = [argument.index for argument in rest if isinstance(argument, Local)]
            case ir.Dot(source=Local(index=source), key=Constant(value=str(key)), target=target) if source in known:
                (passed_by if target in known else found).add((*known[source], key))
                used = []
            case ir.Assign(source=Local(index=source), target=target) if source in known and target in known:
                used = []
        found |= {known[local] for local in used if local in known}
    # A member that nothing is taken from was asked for itself: its absence is an answer.
    return found | {path for path in passed_by if not _is_within_reach(path, passed_by | found)}, callees


def _is_within_reach(path: InputPath, paths: Iterable[InputPath]) -> bool:
    """Whether one of the paths leads further through this one."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in paths)


def _outermost(paths: Iterable[InputPath]) -> frozenset[InputPath]:
    kept: set[InputPath] = set()
    for path in sorted(paths, key=len):
        if not any(path[:length] in kept for length in range(len(path) + 1)):
            kept.add(path)
    return frozenset(kept)
