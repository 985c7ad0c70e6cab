"""What tests exercise of a policy set: routes, rules, roles, bindings and the parts of conditions, by outcome.

A test exercises what it reaches: a request that is refused before the rules of its route exercises nothing. A rule has
two outcomes to see, satisfied and unsatisfied, unless it can have but one; so has each atom of a condition, and a
binding with a condition. An outcome is counted whatever the decision was: every rule of a route is evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from extauthz.authoring.covered import Kind
from extauthz.authoring.describe import on_one_line
from extauthz.authoring.explain import binding_outcome, rule_outcome
from extauthz.authoring.run import Question
from extauthz.authoring.steps import take_steps
from extauthz.authorizer import Snapshot
from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_parts import Part, parts_of
from extauthz.model.access import Facts
from extauthz.model.decision import Decision, Outcome, Reason
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Binding,
    ConditionKey,
    PolicySet,
    ProviderIs,
    Route,
    Rule,
    When,
)
from extauthz.model.source import Span

ERRORED = str(Outcome.ERRORED)


_OUTCOMES = {
    Kind.ROUTE: ("reached", ""),
    Kind.RULE: (str(Outcome.SATISFIED), str(Outcome.UNSATISFIED)),
    Kind.ROLE: ("held", ""),
    Kind.BINDING: ("given", "withheld"),
    Kind.CONDITION: ("true", "false"),
    Kind.REGO: ("evaluated", ""),
}
"""What SATISFIED and UNSATISFIED are called."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that tests can exercise."""

    kind: Kind
    name: str
    span: Span | None
    """None for a role, whose place the set does not keep."""
    wanted: tuple[str, ...]
    """The outcomes to see."""
    seen: Counter[str] = field(default_factory=Counter)
    """How often each outcome was seen, `errored` among them."""

    def count(self, outcome: Outcome = Outcome.SATISFIED) -> None:
        """One more of this outcome."""
        satisfied, unsatisfied = _OUTCOMES[self.kind]
        names = {Outcome.SATISFIED: satisfied, Outcome.UNSATISFIED: unsatisfied, Outcome.ERRORED: ERRORED}
        self.seen[names[outcome]] += 1

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(outcome for outcome in self.wanted if not self.seen[outcome])


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something was seen."""

    seen: int
    of: int

    @property
    def percent(self) -> float:
        """100 of nothing."""
        return 100.0 * self.seen / self.of if self.of else 100.0


class Coverage:
    """Counts what tests exercise of one compiled set."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        policy_set = snapshot.policy_set
        self._routes = {
            route.name: _item(Kind.ROUTE, route.name, route.span, can_fail=False) for route in policy_set.routes
        }
        self._rules = _rules(policy_set.routes)
        self._roles = {name: _item(Kind.ROLE, name, None, can_fail=False) for name in policy_set.roles}
        self._bindings = [(binding, _binding(binding)) for binding in policy_set.bindings]
        self._atoms: dict[Span, list[tuple[Part, Item]]] = {}
        for condition in _conditions(policy_set):
            self._atoms.setdefault(condition.span, _atoms(condition))

    def add(self, question: Question, decision: Decision) -> None:
        """Count one decided request."""
        if decision.reason is Reason.PREFLIGHT:
            if decision.route is not None:
                self._routes[decision.route].count()
            return
        request = question.request
        steps = take_steps(request, self._snapshot, question.now, question.principal, method=request.method)
        facts = steps.facts()
        if facts is None or steps.compiled is None or not steps.reach_rules:
            return
        route = steps.compiled.route
        self._routes[route.name].count()
        for role in facts.roles.held:
            self._roles[role].count()
        self._count_rules(route, facts)
        self._count_bindings(route, facts)

    def _count_rules(self, route: Route, facts: Facts) -> None:
        for rule in (*route.deny, *route.require, *route.allow):
            outcome = rule_outcome(rule, facts, self._snapshot.policy_set)
            self._rules[rule.id].count(outcome)
            for condition in rule.conditions:
                if isinstance(condition, When):
                    self._count_atoms(condition.condition.span, facts)

    def _count_bindings(self, route: Route, facts: Facts) -> None:
        for binding, item in self._bindings:
            is_subject, outcome = binding_outcome(binding, facts, route, self._snapshot.policy_set)
            if is_subject:
                item.count(outcome)
                if binding.when is not None:
                    self._count_atoms(binding.when.span, facts)

    def _count_atoms(self, span: Span, facts: Facts) -> None:
        for atom, item in self._atoms.get(span, ()):
            outcome = atom.evaluate(facts).outcome
            if outcome is not None:
                item.count(outcome)

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything, in the order of the kinds, then of the policy."""
        return (
            *self._routes.values(),
            *self._rules.values(),
            *self._roles.values(),
            *(item for _, item in self._bindings),
            *(item for atoms in self._atoms.values() for _, item in atoms),
        )


def share_of(items: Iterable[Item]) -> Share:
    """How many of the outcomes to see were seen."""
    items = tuple(items)
    of = sum(len(item.wanted) for item in items)
    return Share(of - sum(len(item.missing) for item in items), of)


# --- What there is to see ------------------------------------------------------------------------------------------


def _rules(routes: Sequence[Route]) -> dict[str, Item]:
    """A rule of a group, or of the set, applies to several routes and is one item."""
    applied: dict[str, list[tuple[Rule, Route]]] = {}
    for route in routes:
        for rule in (*route.deny, *route.require, *route.allow):
            applied.setdefault(rule.id, []).append((rule, route))
    return {
        rule_id: _item(Kind.RULE, rule_id, places[0][0].span, can_fail=_can_fail(places))
        for rule_id, places in applied.items()
    }


def _item(kind: Kind, name: str, span: Span | None, *, can_fail: bool) -> Item:
    satisfied, unsatisfied = _OUTCOMES[kind]
    return Item(kind, name, span, (satisfied, unsatisfied) if can_fail else (satisfied,))


def _can_fail(places: Sequence[tuple[Rule, Route]]) -> bool:
    return any(not _always_holds(condition, route) for rule, route in places for condition in rule.conditions)


def _always_holds(condition: ConditionKey, route: Route) -> bool:
    """Whether no request that reaches the rules of the route can make it fail."""
    required = route.authentication is Authentication.REQUIRED
    match condition:
        case Anyone():
            return True
        case Authenticated():
            return required
        case ProviderIs(providers=providers):
            return required and set(route.providers) <= set(providers)
        case _:
            return False


def _binding(binding: Binding) -> Item:
    return _item(Kind.BINDING, binding.role, binding.span, can_fail=binding.when is not None)


def _conditions(policy_set: PolicySet) -> list[CelCondition]:
    rules = [rule for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow)]
    found = [c.condition for rule in rules for c in rule.conditions if isinstance(c, When)]
    found += [binding.when for binding in policy_set.bindings if binding.when is not None]
    return [condition for condition in found if isinstance(condition, CelCondition)]


def _atoms(condition: CelCondition) -> list[tuple[Part, Item]]:
    """The atoms of a condition that a request can change."""
    atoms = [atom for atom in parts_of(condition).atoms() if atom.reads]
    return [(atom, _item(Kind.CONDITION, on_one_line(atom.text), condition.span, can_fail=True)) for atom in atoms]
