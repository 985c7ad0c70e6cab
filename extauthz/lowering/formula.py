"""When a native policy lets a request pass: tests of Envoy's RBAC filter and CEL expressions, combined.

The logic is Kleene's, as the policy language's is: a test is true or false, a CEL expression may err besides, and a
negated error is an error. A formula is only ever asked whether it is *true*, so negations are pushed down to the
leaves, where `!` keeps an error an error and a policy that errs does not match.

INVARIANT: nothing here makes a formula true that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeAlias

from extauthz.lowering.document import JsonObject
from extauthz.lowering.expression import Expr, all_of, any_of, negated

MAX_POLICIES = 64
"""Of one rule on one route for one kind of caller: an alternative that mixes tests and CEL needs policies of its own,
since a policy has one condition."""


class NotExactError(Exception):
    """What Envoy cannot decide as the authorizer does; the message says why, as a clause."""


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A principal of `envoy.config.rbac.v3`: true or false for every request."""

    principal: JsonObject


@dataclass(frozen=True, slots=True, eq=False)
class Cel:
    """A CEL expression: true, false or an error."""

    expr: Expr


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """True when every part is, false when one is."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Some:
    """True when one part is, false when every one is."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = Match | Cel | All | Some

ALWAYS: Formula = All(())
NEVER: Formula = Some(())

Joining: TypeAlias = Callable[..., Formula]


class Conjunction(NamedTuple):
    """What one RBAC policy can ask: a principal and a condition, both."""

    principal: JsonObject | None
    condition: Expr | None


def constant(value: bool) -> Formula:  # noqa: FBT001 - a literal
    """ALWAYS or NEVER."""
    return ALWAYS if value else NEVER


def all_hold(*parts: Formula) -> Formula:
    """The conjunction, what is constant left out."""
    kept: list[Formula] = []
    for part in parts:
        if isinstance(part, All):
            kept += part.parts
        elif is_never(part):
            return NEVER
        else:
            kept.append(part)
    return kept[0] if len(kept) == 1 else All(tuple(kept))


def one_holds(*parts: Formula) -> Formula:
    """The disjunction, what is constant left out."""
    kept: list[Formula] = []
    for part in parts:
        if isinstance(part, Some):
            kept += part.parts
        elif is_always(part):
            return ALWAYS
        else:
            kept.append(part)
    return kept[0] if len(kept) == 1 else Some(tuple(kept))


def is_always(formula: Formula) -> bool:
    return isinstance(formula, All) and not formula.parts


def is_never(formula: Formula) -> bool:
    return isinstance(formula, Some) and not formula.parts


def negation(formula: Formula) -> Formula:
    """True when the formula is false, by De Morgan; an error stays one."""
    match formula:
        case Match(principal):
            return Match({"not_id": principal})
        case Cel(expr):
            return Cel(negated(expr))
        case All(parts):
            return one_holds(*(negation(part) for part in parts))
        case Some(parts):
            return all_hold(*(negation(part) for part in parts))


def conjunctions(formula: Formula) -> tuple[Conjunction, ...]:
    """The policies one of which matches exactly when the formula is true; none when it never is.

    Raises:
        NotExactError: it takes more than MAX_POLICIES of them.
    """
    found = _conjunctions(formula)
    if len(found) > MAX_POLICIES:
        raise NotExactError(f"it takes more than {MAX_POLICIES} native policies")
    return found


def _conjunctions(formula: Formula) -> tuple[Conjunction, ...]:
    if is_never(formula):
        return ()
    principal = as_principal(formula)
    if principal is not None:
        return (Conjunction(principal, None),)
    condition = as_expr(formula)
    if condition is not None:
        return (Conjunction(None, condition),)
    match formula:
        case All(parts):
            return _product(parts)
        case Some(parts):
            return tuple(c for part in _grouped(parts, one_holds) for c in _conjunctions(part))
        case _:
            raise AssertionError("a leaf is either a test or an expression")


def _product(parts: Iterable[Formula]) -> tuple[Conjunction, ...]:
    factors = [_conjunctions(part) for part in _grouped(parts, all_hold)]
    size = 1
    for factor in factors:
        size *= len(factor)
        if size > MAX_POLICIES:
            raise NotExactError(f"it takes more than {MAX_POLICIES} native policies")
    return tuple(_joined(chosen) for chosen in product(*factors))


def _grouped(parts: Iterable[Formula], join: Joining) -> list[Formula]:
    """The parts, with those of tests alone put together, and those of CEL alone."""
    tests: list[Formula] = []
    expressions: list[Formula] = []
    mixed: list[Formula] = []
    for part in parts:
        if as_principal(part) is not None:
            tests.append(part)
        elif as_expr(part) is not None:
            expressions.append(part)
        else:
            mixed.append(part)
    return [*([join(*tests)] if tests else []), *([join(*expressions)] if expressions else []), *mixed]


def _joined(chosen: Iterable[Conjunction]) -> Conjunction:
    chosen = tuple(chosen)
    principals = [c.principal for c in chosen if c.principal is not None]
    conditions = [c.condition for c in chosen if c.condition is not None]
    return Conjunction(
        _all_ids(principals) if principals else None,
        all_of(conditions) if conditions else None,
    )


def as_principal(formula: Formula) -> JsonObject | None:
    """The formula as one principal, None when it holds CEL."""
    match formula:
        case Match(principal):
            return principal
        case Cel():
            return None
        case All(parts) | Some(parts):
            principals = [as_principal(part) for part in parts]
            known = [p for p in principals if p is not None]
            if len(known) < len(principals):
                return None
            return _all_ids(known) if isinstance(formula, All) else _any_id(known)


def as_expr(formula: Formula) -> Expr | None:
    """The formula as one expression, None when it holds a test or nothing."""
    match formula:
        case Match():
            return None
        case Cel(expr):
            return expr
        case All(parts) | Some(parts):
            exprs = [as_expr(part) for part in parts]
            if not exprs or any(expr is None for expr in exprs):
                return None
            return all_of(exprs) if isinstance(formula, All) else any_of(exprs)


def _all_ids(principals: list[JsonObject]) -> JsonObject:
    if not principals:
        return {"any": True}
    return principals[0] if len(principals) == 1 else {"and_ids": {"ids": principals}}


def _any_id(principals: list[JsonObject]) -> JsonObject:
    if not principals:
        return {"not_id": {"any": True}}
    return principals[0] if len(principals) == 1 else {"or_ids": {"ids": principals}}
