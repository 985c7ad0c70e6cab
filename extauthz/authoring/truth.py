"""Policy sets whose conditions come out as they are told to: to decide what no single request can be made to show.

A condition is put together from atoms by `&&`, `||`, `!` and `?:`. An atom is a function of what it reads, so two atoms
of the same text that read the same values come to the same, whichever set they stand in. Nothing else is assumed of
them but that reading what `has()` did not find is an error, and that what equals one text does not equal another. So
every request's outcomes are among those that `Truths.explore` goes through, and some of those may belong to none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Final, TypeAlias, TypeVar

from google.api.expr.v1alpha1.syntax_pb2 import Expr

from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_facts import CelPath
from extauthz.languages.cel_parts import Kind, Part, parts_of
from extauthz.languages.cel_text import text_of
from extauthz.languages.rego.condition import RegoCondition
from extauthz.languages.rego.decision import RegoDecision
from extauthz.model.access import Facts
from extauthz.model.decision import Outcome
from extauthz.model.policy import Binding, Condition, ConditionKey, PolicySet, Route, Rule, When
from extauthz.model.source import Span

T = TypeVar("T")
AtomKey: TypeAlias = tuple[Hashable, ...]
"""The expression with the values that it reads, as far as they are known."""

OTHER_METHOD: Final = "X-OTHER-METHOD"
"""Stands for every method that no policy names."""

_S, _U, _E = Outcome.SATISFIED, Outcome.UNSATISFIED, Outcome.ERRORED
_NEGATION: Final = {_S: _U, _U: _S, _E: _E}
_ALL: Final = (_U, _S, _E)

CALLER_ROOTS: Final = frozenset(
    {"claims", *(f"principal.{n}" for n in ("authenticated", "subject", "provider", "groups", "scopes"))}
)
_MAPPED: Final = frozenset({"principal.subject", "principal.groups", "principal.scopes", "principal.roles"})
"""What a provider's definition in the set has a say in."""
_ALWAYS_KNOWN: Final = frozenset({"principal.authenticated", "principal.provider"})
_SAME_IN_BOTH: Final = frozenset({"claims", "request.headers", "request.query", "context_extensions", "body"})
_ERRS_OF_NOBODY: Final = frozenset({"claims", "principal.subject", "principal.provider"})


class BoundHitError(Exception):
    """More to go through than there is room for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Atom:
    """A part of a condition whose truth is assumed."""

    text: str
    span: Span
    """Of the condition that it stands in."""
    presence: CelPath | None
    """What it looks for, when it is a `has()`."""
    strict_reads: frozenset[CelPath]
    """What it errs without."""
    equality: tuple[CelPath, str | bool] | None
    """The read and the value that it is about, when it is `==` and the read is the same in both sets."""


class _UndecidedError(Exception):
    def __init__(self, key: AtomKey, options: tuple[Outcome, ...]) -> None:
        super().__init__("an atom has no outcome yet")
        self.key = key
        self.options = options


class Truths:
    """What atoms come to, one assignment at a time."""

    def __init__(self, decisions: int) -> None:
        self.assigned: Mapping[AtomKey, Outcome] = {}
        self.atoms: dict[AtomKey, Atom] = {}
        """All that were asked for, ever."""
        self.decisions_left = decisions

    def of(self, key: AtomKey, atom: Atom) -> Outcome:
        """Under the present assignment."""
        known = self.assigned.get(key)
        if known is not None:
            return known
        self.atoms.setdefault(key, atom)
        options = self._options(atom)
        if len(options) == 1:
            return options[0]
        raise _UndecidedError(key, options)

    def explore(self, decide: Callable[[], T], limit: int) -> Iterator[tuple[dict[AtomKey, Outcome], T]]:
        """Every assignment that `decide` tells apart, with what it gives.

        Raises:
            BoundHitError: it was called `limit` times, or the decisions of all explorations are used up.
        """
        waiting: list[dict[AtomKey, Outcome]] = [{}]
        for _ in range(min(limit, self.decisions_left)):
            if not waiting:
                return
            assigned = waiting.pop()
            self.decisions_left -= 1
            try:
                result = self.under(assigned, decide)
            except _UndecidedError as undecided:
                waiting += [{**assigned, undecided.key: outcome} for outcome in reversed(undecided.options)]
            else:
                yield assigned, result
        if waiting:
            raise BoundHitError

    def under(self, assigned: Mapping[AtomKey, Outcome], decide: Callable[[], T]) -> T:
        """What `decide` gives under an assignment, which must cover all that it asks for."""
        self.assigned = assigned
        return decide()

    def matters(self, key: AtomKey, assigned: Mapping[AtomKey, Outcome], decide: Callable[[], T], result: T) -> bool:
        """Whether the result would, or could, be another if the atom came to something else."""
        for other in _ALL:
            try:
                if other is not assigned[key] and self.under({**assigned, key: other}, decide) != result:
                    return True
            except _UndecidedError:
                return True
        return False

    def _options(self, atom: Atom) -> tuple[Outcome, ...]:
        """What it may come to beside what is assigned: absent values cannot be read, and what was read is there."""
        possible: tuple[Outcome, ...] = _ALL
        outcomes = [(self.atoms[key], outcome) for key, outcome in self.assigned.items()]
        for other, outcome in outcomes:
            if _of_one_read(atom, other):
                if outcome is not _U:
                    return (_E,) if outcome is _E else (_U,)
                possible = (_U, _S)
            if other.presence is not None and outcome is not _S:
                if any(_is_below(read, other.presence) for read in atom.strict_reads):
                    return (_E,)
                if atom.presence is not None and _is_below(atom.presence[:-1], other.presence):
                    return (_E,)
            if atom.presence is None or outcome is _E:
                continue
            is_deeper = other.presence is not None and _is_below(other.presence[:-1], atom.presence)
            if is_deeper or any(_is_below(read, atom.presence) for read in other.strict_reads):
                return (_S,)
        return possible


def _of_one_read(atom: Atom, other: Atom) -> bool:
    """Whether both compare one value, with values of one type: only then do they err alike."""
    mine, its = atom.equality, other.equality
    return mine is not None and its is not None and mine[0] == its[0] and type(mine[1]) is type(its[1])


def _is_below(path: CelPath, prefix: CelPath) -> bool:
    return path[: len(prefix)] == prefix


class Steered:
    """A condition whose atoms are assumed; satisfies `extauthz.model.policy.Condition`, but for raising."""

    def __init__(self, condition: Condition, truths: Truths, policy_set: PolicySet) -> None:
        self.text = condition.text
        self.span = condition.span
        self.reads = condition.reads
        self._truths = truths
        self._part = parts_of(condition) if isinstance(condition, CelCondition) else None
        # Of another language nothing is known but when it is the same.
        self._opaque: Hashable = (policy_set.revision, condition.text)
        if isinstance(condition, RegoCondition | RegoDecision):
            self._opaque = condition.identity
        self._mapping: dict[str | None, Hashable] = {
            provider.name: (provider.claims, provider.may_assert) for provider in policy_set.providers
        }
        atoms = () if self._part is None else tuple(self._part.atoms())
        self.key: Hashable = self._opaque if self._part is None else self._part.canonical
        """Equal for conditions that are the same, wherever they stand."""
        self.expressions = frozenset[Hashable](part.canonical[0] for part in atoms) or frozenset({self._opaque})
        """Of its atoms: what the keys of their outcomes begin with."""
        self.methods = frozenset(text for part in atoms if ("request.method",) in part.reads for text in part.texts)
        """Methods that it compares with."""

    def evaluate(self, facts: Facts) -> Outcome:
        if self._part is None:
            key = (self._opaque, *(self._value(path, facts) for path in sorted(self.reads)))
            return self._truths.of(key, Atom(self.text, self.span, None, frozenset(), None))
        return self._outcome(self._part, facts)

    def _outcome(self, part: Part, facts: Facts) -> Outcome:
        operands = part.operands
        if not operands:
            return self._atom(part, facts)
        if part.kind is Kind.NOT:
            return _NEGATION[self._outcome(operands[0], facts)]
        if part.kind is Kind.CHOICE:
            chosen = self._outcome(operands[0], facts)
            return _E if chosen is _E else self._outcome(operands[1 if chosen is _S else 2], facts)
        decisive, neutral = (_U, _S) if part.kind is Kind.AND else (_S, _U)
        result = neutral
        for operand in operands:
            outcome = self._outcome(operand, facts)
            if outcome is decisive:
                return decisive
            if outcome is _E:
                result = _E
        return result

    def _atom(self, part: Part, facts: Facts) -> Outcome:
        if self._is_known(part, facts):
            return part.evaluate(facts).outcome or _E
        if part.is_strict and any(self._is_unreadable(path, facts) for path in part.reads):
            return _E
        expression, negated = part.canonical
        key = (expression, *(self._value(path, facts) for path in sorted(part.reads)))
        strict = part.reads if part.is_strict and part.presence is None else frozenset()
        text = text_of(Expr.FromString(expression)) if negated else part.text
        equality = part.equality if part.equality is not None and part.equality[0][0] in _SAME_IN_BOTH else None
        outcome = self._truths.of(key, Atom(text, self.span, part.presence, strict, equality))
        return _NEGATION[outcome] if negated else outcome

    def _is_known(self, part: Part, facts: Facts) -> bool:
        """Whether it comes to the same on every request that the present one stands for."""
        roots = {path[0] for path in part.reads}
        if roots <= _ALWAYS_KNOWN or (part.presence is not None and part.presence[0] == "path"):
            return True
        if self._is_whole(facts) and roots <= CALLER_ROOTS:
            return True
        # An unlisted method stands for all others, of which a comparison cannot tell it.
        return roots == {"request.method"} and (part.compared_texts is not None or facts.request.method != OTHER_METHOD)

    def _is_whole(self, facts: Facts) -> bool:
        """Whether all is known of the caller: nobody, or the holder of an API key."""
        return not facts.principal.authenticated or facts.principal.provider not in self._mapping

    def _is_unreadable(self, path: CelPath, facts: Facts) -> bool:
        if path[0] == "path":
            return len(path) > 1 and path[1] not in facts.path_variables
        if path[0] == "claims":
            return len(path) > 1 and self._is_whole(facts)
        return path[0] in _ERRS_OF_NOBODY and not facts.principal.authenticated

    def _value(self, path: CelPath, facts: Facts) -> Hashable:
        """What can differ between two sets, or two routes, on one request."""
        match path[0]:
            case "path":
                bound = facts.path_variables
                return bound.get(path[1]) if len(path) > 1 else tuple(sorted(bound.items()))
            case "request.url_path":
                return facts.path
            case "principal.roles":
                return facts.roles.held, facts.roles.errored, self._mapping.get(facts.principal.provider)
            case root if root in _MAPPED:
                caller = facts.principal
                return caller.authenticated, self._mapping.get(caller.provider), caller.groups, caller.scopes
            case root if root in CALLER_ROOTS:
                return facts.principal.authenticated
            case _:
                return None


def steer(policy_set: PolicySet, truths: Truths) -> PolicySet:
    """The set with every condition steered."""
    conditions: dict[int, Steered] = {}
    rules: dict[int, Rule] = {}

    def of_condition(condition: Condition) -> Steered:
        return conditions.setdefault(id(condition), Steered(condition, truths, policy_set))

    def of_key(key: ConditionKey) -> ConditionKey:
        return When(of_condition(key.condition)) if isinstance(key, When) else key

    def of_rule(rule: Rule) -> Rule:
        if id(rule) not in rules:
            rules[id(rule)] = dataclasses.replace(rule, conditions=tuple(map(of_key, rule.conditions)))
        return rules[id(rule)]

    def of_route(route: Route) -> Route:
        deny, require, allow = (tuple(map(of_rule, listed)) for listed in (route.deny, route.require, route.allow))
        # A decision's outcome is assumed as that of the allow rule that it is; what else it says is not compared.
        return dataclasses.replace(route, deny=deny, require=require, allow=allow, decision=None)

    def of_binding(binding: Binding) -> Binding:
        return binding if binding.when is None else dataclasses.replace(binding, when=of_condition(binding.when))

    return dataclasses.replace(
        policy_set,
        routes=tuple(map(of_route, policy_set.routes)),
        bindings=tuple(map(of_binding, policy_set.bindings)),
    )
