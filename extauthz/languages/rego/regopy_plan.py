"""Plans made by `regopy`, brought to what OPA would have planned, or refused.

This compiler is laxer than OPA in three ways that change answers:

* A call within a negated expression is evaluated inside of the negation, where OPA evaluates it before: with
  `not to_number(input.x) > 3` and an `x` that is no number, OPA's rule is undefined and this compiler's holds. Such
  calls are moved in front of the negation.
* A variable declared anew in a comprehension (`some x`) is taken for the outer one of the same name, which it
  overwrites. Such a policy is refused.
* A reference with a variable may stand for a whole package, which it does not see. That is refused in `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Final

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Constant, Local, Plan, Statement
from extauthz.languages.rego.shape import all_statements, written_locals

COMPILER: Final = "regopy"
"""What a plan of this compiler says in its `compiler`."""


def corrected(plan: Plan) -> Plan:
    """The plan with calls moved out of negations."""
    return replace(
        plan,
        entry_points=tuple(replace(entry, blocks=_blocks(entry.blocks)) for entry in plan.entry_points),
        functions=tuple(replace(function, blocks=_blocks(function.blocks)) for function in plan.functions),
    )


def _blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    return tuple(map(_block, blocks))


def _block(block: Block) -> Block:
    return tuple(statement for original in block for statement in _corrected(original))


def _corrected(statement: Statement) -> Iterator[Statement]:
    match statement:
        case ir.Blocks(blocks=blocks):
            yield replace(statement, blocks=_blocks(blocks))
        case ir.Scan(block=block) | ir.With(block=block):
            yield replace(statement, block=_block(block))
        case ir.Not(block=block):
            before, inside = _split(_block(block))
            yield from before
            yield replace(statement, block=inside)
        case _:
            yield statement


def _split(block: Block) -> tuple[Block, Block]:
    """The statements of a negation that are evaluated before it, and those that are negated."""
    moved: set[int] = set()
    waiting = [position for position, statement in enumerate(block) if _is_operand(statement, block)]
    while waiting:
        position = waiting.pop()
        if position not in moved:
            moved.add(position)
            needed = set(read_locals((block[position],)))
            waiting += [i for i in range(position) if needed & set(_changed_locals(block[i]))]
    before = tuple(statement for position, statement in enumerate(block) if position in moved)
    inside = tuple(statement for position, statement in enumerate(block) if position not in moved)
    return before, inside


def _is_operand(statement: Statement, block: Block) -> bool:
    """Whether a statement is a call whose result is an operand of something, not the negated expression itself."""
    if not isinstance(statement, (ir.Call, ir.CallDynamic)):
        return False
    if isinstance(statement, ir.Call) and _takes_documents(statement):
        return False  # a rule that is referred to, not a call
    uses = [s for s in all_statements([block]) if statement.result in set(_read_by(s))]
    return any(not _is_truth_test(use) for use in uses)


def _takes_documents(call: ir.Call) -> bool:
    return call.arguments == (Local(ir.INPUT), Local(ir.DATA))


def _is_truth_test(statement: Statement) -> bool:
    return isinstance(statement, ir.IsDefined) or (
        isinstance(statement, ir.NotEqual) and Constant(value=False) in {statement.a, statement.b}
    )


def read_locals(block: Block) -> Iterator[int]:
    """The locals that statements read, those within them included."""
    for statement in all_statements([block]):
        yield from _read_by(statement)


def _read_by(statement: Statement) -> Iterator[int]:
    for field in fields(statement):
        value = getattr(statement, field.name)
        if isinstance(value, Local):
            yield value.index
        elif isinstance(value, tuple):
            yield from (item.index for item in value if isinstance(item, Local))
        elif field.name in {"array", "set", "object", "source", "a", "b", "local"} and isinstance(value, int):
            yield value
        elif field.name == "value" and isinstance(statement, ir.ResultAdd):
            yield statement.value


def _changed_locals(statement: Statement) -> Iterator[int]:
    """The locals that a statement, or one within it, gives a value or adds to."""
    for inner in all_statements([(statement,)]):
        yield from written_locals(inner)
        match inner:
            case ir.ArrayAppend(array=owner) | ir.SetAdd(set=owner):
                yield owner
            case ir.ObjectInsert(object=owner) | ir.ObjectInsertOnce(object=owner):
                yield owner
            case _:
                pass
