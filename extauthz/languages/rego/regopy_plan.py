"""Plans made by `regopy`, brought to what OPA would have planned, or refused.

This compiler is laxer than OPA in four ways that change answers:

* The operands of a negated call, and the keys of a negated reference, are evaluated inside of the negation, where OPA
  evaluates them before: with `not startswith(input.x, "a")` and no `x`, OPA's rule is undefined and this compiler's
  holds. They are moved in front of the negation. An equality's own operands stay, in OPA too.
* A variable declared anew in a comprehension (`some x`) is taken for the outer one of the same name, which it
  overwrites. Such a policy is refused.
* Of rules that build one object, those with shorter names may run first, and others then add to what they put there.
  OPA runs the longest first, so that each adds only to what it has made; their blocks are put in that order.
* A reference with a variable may stand for a whole package, which it does not see. That is refused in `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Constant, Local, Place, Plan, PlanError, Statement
from extauthz.languages.rego.shape import all_statements, changed_local, may_fail, reads, uses_of, written_locals

COMPILER: Final = "regopy"
"""What a plan of this compiler says in its `compiler`."""


class CorrectionError(PlanError):
    """A rule that cannot be brought to what OPA would have planned."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def corrected(plan: Plan) -> Plan:
    """The plan as OPA would have made it.

    Raises:
        CorrectionError: that cannot be done for some rule.
    """
    return replace(
        plan,
        entry_points=tuple(replace(entry, blocks=_blocks(entry.blocks)) for entry in plan.entry_points),
        functions=tuple(map(_function, plan.functions)),
    )


def _function(function: ir.Function) -> ir.Function:
    try:
        return replace(function, blocks=_deepest_first(_blocks(function.blocks), function.result))
    except PlanError as error:
        raise CorrectionError(function.place, str(error)) from error


def _deepest_first(blocks: tuple[Block, ...], result: int) -> tuple[Block, ...]:
    """The blocks with those that build deeper into an object before the others, where there are any."""
    depths = {position: _depth(block) for position, block in enumerate(blocks) if _adds_to(result, block)}
    if not any(depths.values()):
        return blocks
    if any(isinstance(writer, ir.Assign) for writer in uses_of(blocks).writers.get(result, ())):
        raise PlanError(
            "rules with and without variables in their names build one object: write them alike, or compile with OPA"
        )
    ordered = iter(sorted(depths, key=lambda position: -depths[position]))
    return tuple(blocks[next(ordered)] if position in depths else block for position, block in enumerate(blocks))


def _adds_to(result: int, block: Block) -> bool:
    """Whether a block adds to an object that was made before it."""
    uses = uses_of([block])
    return result in uses.changers and result not in uses.writers


def _depth(block: Block) -> int:
    """How many collections a block looks up to add to them."""
    uses = uses_of([block])
    looked_up = {s.target for s in all_statements([block]) if isinstance(s, ir.Dot)}
    return len(looked_up & uses.changers.keys())


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
    """The statements of a negation that are evaluated before it, and those that are negated.

    Raises:
        PlanError: some are within a `with`, out of which they cannot be taken.
    """
    moved: set[int] = set()
    waiting = [position for position, statement in enumerate(block) if _is_operand(statement, block)]
    for position, statement in enumerate(block):
        waiting += _writers_before(position, set(_operands(statement)), block)
        if isinstance(statement, ir.With) and any(map(may_fail, _split(statement.block)[0])):
            raise PlanError("a negated call with `with`: write the call as a rule of its own, or compile with OPA")
    while waiting:
        position = waiting.pop()
        if position not in moved:
            moved.add(position)
            waiting += _writers_before(position, set(reads_within(block[position])), block)
    before = tuple(statement for position, statement in enumerate(block) if position in moved)
    inside = tuple(statement for position, statement in enumerate(block) if position not in moved)
    return before, inside


def _writers_before(position: int, locals_: set[int], block: Block) -> list[int]:
    """The positions of statements that what locals hold at a position comes from."""
    return [i for i in range(position) if locals_ & set(changes(block[i]))]


def _operands(statement: Statement) -> Iterator[int]:
    """The locals that are operands of a call, keys of a reference, or members of a collection that is being made."""
    match statement:
        case ir.Call(arguments=arguments) if not _takes_documents(statement):
            yield from (a.index for a in arguments if isinstance(a, Local))
        case ir.Dot(key=Local(index=index)):
            yield index
        case ir.ArrayAppend(value=Local(index=index)) | ir.SetAdd(value=Local(index=index)):
            yield index
        case ir.ObjectInsert(key=key, value=value) | ir.ObjectInsertOnce(key=key, value=value):
            yield from (o.index for o in (key, value) if isinstance(o, Local))
        case _:
            pass


def _is_operand(statement: Statement, block: Block) -> bool:
    """Whether a statement is a call whose result is an operand of something, not the negated expression itself."""
    if not isinstance(statement, (ir.Call, ir.CallDynamic)):
        return False
    if isinstance(statement, ir.Call) and _takes_documents(statement):
        return False  # a rule that is referred to, not a call
    uses = [s for s in all_statements([block]) if statement.result in set(reads(s))]
    return any(not _is_truth_test(use) for use in uses)


def _takes_documents(call: ir.Call) -> bool:
    return call.arguments == (Local(ir.INPUT), Local(ir.DATA))


def _is_truth_test(statement: Statement) -> bool:
    return isinstance(statement, ir.IsDefined) or (
        isinstance(statement, ir.NotEqual) and Constant(value=False) in {statement.a, statement.b}
    )


def reads_within(statement: Statement) -> Iterator[int]:
    """The locals that a statement reads, itself or by its blocks."""
    for inner in all_statements([(statement,)]):
        yield from reads(inner)


def changes(statement: Statement) -> Iterator[int]:
    """The locals that a statement, itself or by its blocks, gives a value or adds to."""
    for inner in all_statements([(statement,)]):
        yield from written_locals(inner)
        owner = changed_local(inner)
        if owner is not None:
            yield owner
