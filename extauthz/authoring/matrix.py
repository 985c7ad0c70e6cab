"""Who can do what: every route against everyone there is to a policy, and what it depends on.

The columns are nobody, a caller without a role, and a caller of each role, with all that it inherits and nothing else.
A cell says `yes` or `no` where that follows from the rules alone, whatever the request is; otherwise it names the rules
that it depends on. INVARIANT: a `yes` is allowed and a `no` is denied on every request of the route by such a caller,
but for a header that cannot be put upstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from extauthz.authoring.describe import describe_condition, on_one_line
from extauthz.authoring.suite import WrittenRequest
from extauthz.model.access import ANONYMOUS as PRINCIPAL_OF_NOBODY
from extauthz.model.access import Facts, RoleHolding
from extauthz.model.decision import Outcome, PolicyId
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Binding,
    BindingSubject,
    ConditionKey,
    GroupIs,
    PolicySet,
    ProviderIs,
    RoleIs,
    Route,
    Rule,
    RuleKind,
    ScopeIs,
    SubjectIs,
    When,
)
from extauthz.model.source import Span

ANONYMOUS, NO_ROLE = "anonymous", "no role"


class Answer(StrEnum):
    """Whether a caller may."""

    YES = "yes"
    NO = "no"
    DEPENDS = "depends"


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of caller."""

    name: str
    authenticated: bool
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Cell:
    """What a kind of caller may do on a route."""

    answer: Answer
    allows: tuple[PolicyId, ...] = ()
    """Allows of which one has to hold; none when one does whatever the request is."""
    guards: tuple[PolicyId, ...] = ()
    """Denies that must not hold, requirements that must be met, as the request may have it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A route with a cell for each column."""

    route: Route
    methods: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A rule that cells depend on."""

    rule: PolicyId
    kind: RuleKind
    text: str
    """Its conditions, as in the policy."""
    span: Span


@dataclass(frozen=True, slots=True)
class Grant:
    """A binding: who gets a role without their credential asserting it."""

    role: str
    who: str
    when: str
    """Empty without a condition."""
    span: Span


@dataclass(frozen=True, slots=True)
class Matrix:
    """The whole of it."""

    name: str
    revision: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[Note, ...]
    """Every rule that a cell depends on, numbered by its position from 1, in the order in which rows need them."""
    grants: tuple[Grant, ...]

    def number(self, rule: PolicyId) -> int:
        """The number of a rule's note."""
        return next(number for number, note in enumerate(self.notes, start=1) if note.rule == rule)


def matrix_of(policy_set: PolicySet) -> Matrix:
    """The matrix of a set, routes and roles in the policy's order."""
    columns = (
        Column(ANONYMOUS, authenticated=False),
        Column(NO_ROLE, authenticated=True),
        *(Column(name, authenticated=True, roles=role.closure) for name, role in policy_set.roles.items()),
    )
    rows = tuple(
        Row(route, methods_of(route), tuple(_cell(route, column, policy_set) for column in columns))
        for route in policy_set.routes
    )
    return Matrix(
        policy_set.name,
        policy_set.revision,
        columns,
        rows,
        tuple(_notes(rows)),
        tuple(_grant(binding) for binding in policy_set.bindings),
    )


def methods_of(route: Route) -> str:
    """The methods of a route, as in `GET, PUT`."""
    return "any" if route.methods is None else ", ".join(sorted(route.methods))


# --- Cells ---------------------------------------------------------------------------------------------------------

_Certain: TypeAlias = Outcome | None
"""What a condition or rule comes to on every request; None when it depends on the request."""

_OF_CALLER = frozenset(
    {"claims", *(f"principal.{n}" for n in ("authenticated", "subject", "provider", "groups", "scopes"))}
)


def _cell(route: Route, column: Column, policy_set: PolicySet) -> Cell:
    if route.authentication is Authentication.REQUIRED and not column.authenticated:
        return Cell(Answer.NO)
    on_route = _OnRoute(route, column, policy_set)
    guards: list[PolicyId] = []
    for rule in (*route.deny, *route.require):
        outcome = on_route.outcome(rule)
        if outcome is None:
            guards.append(rule.id)
        elif outcome is not (Outcome.SATISFIED if rule.kind is RuleKind.REQUIRE else Outcome.UNSATISFIED):
            return Cell(Answer.NO)
    outcomes = {rule.id: on_route.outcome(rule) for rule in route.allow}
    if Outcome.SATISFIED in outcomes.values():
        return Cell(Answer.DEPENDS if guards else Answer.YES, guards=tuple(guards))
    allows = tuple(rule for rule, outcome in outcomes.items() if outcome is None)
    return Cell(Answer.DEPENDS, allows, tuple(guards)) if allows else Cell(Answer.NO)


class _OnRoute:
    """What conditions come to on one route for one kind of caller."""

    def __init__(self, route: Route, column: Column, policy_set: PolicySet) -> None:
        self._route = route
        looks = route.authentication is not Authentication.NONE
        self._authenticated = column.authenticated and looks  # else everybody is nobody
        self._roles = column.roles if looks else frozenset()
        self._open_roles = _roles_bound(policy_set, by_workload=not looks)
        """Roles that a binding may give, or leave in doubt, on a request."""

    def outcome(self, rule: Rule) -> _Certain:
        """UNSATISFIED beats ERRORED beats SATISFIED, whatever the order."""
        found = {self._condition(condition, rule) for condition in rule.conditions}
        order: tuple[_Certain, ...] = (Outcome.UNSATISFIED, None, Outcome.ERRORED)
        return next((outcome for outcome in order if outcome in found), Outcome.SATISFIED)

    def _condition(self, condition: ConditionKey, rule: Rule) -> _Certain:
        match condition:
            case Anyone():
                return Outcome.SATISFIED
            case Authenticated():
                return _certain(self._authenticated)
            case RoleIs(roles=roles):
                return self._role(roles, rule)
            case ProviderIs(providers=providers) if self._authenticated and set(self._route.providers) <= set(
                providers
            ):
                return Outcome.SATISFIED
            case ScopeIs() | GroupIs() | SubjectIs() | ProviderIs():
                return None if self._authenticated else Outcome.UNSATISFIED
            case When(condition=when) if not self._authenticated and {path[0] for path in when.reads} <= _OF_CALLER:
                return when.evaluate(_OF_NOBODY)
            case _:
                return None

    def _role(self, roles: frozenset[str], rule: Rule) -> _Certain:
        if roles & self._roles:
            return Outcome.SATISFIED
        # A column has its role and no other, but where no credential is looked at, it may be a workload's; and a role
        # that denies must not be taken for absent because a condition decides it.
        is_open = bool(roles & self._open_roles) and (not self._authenticated or rule.kind is RuleKind.DENY)
        return None if is_open else Outcome.UNSATISFIED


def _certain(holds: bool) -> Outcome:  # noqa: FBT001 - the one place where a truth becomes an outcome
    return Outcome.SATISFIED if holds else Outcome.UNSATISFIED


def _roles_bound(policy_set: PolicySet, *, by_workload: bool) -> frozenset[str]:
    bound = [
        binding
        for binding in policy_set.bindings
        if any((subject.workload is not None) is by_workload for subject in binding.subjects)
    ]
    return frozenset(role for binding in bound for role in policy_set.roles[binding.role].closure)


_OF_NOBODY = Facts(
    request=WrittenRequest("GET", "/", ""),
    host="",
    path="/",
    path_variables={},
    principal=PRINCIPAL_OF_NOBODY,
    now=0.0,
    resolve_roles=lambda _: RoleHolding(),
)
"""For conditions that read nothing but the caller."""


# --- Notes and grants ----------------------------------------------------------------------------------------------


def _notes(rows: Sequence[Row]) -> Iterable[Note]:
    seen: set[PolicyId] = set()
    for row in rows:
        rules = {rule.id: rule for rule in (*row.route.deny, *row.route.require, *row.route.allow)}
        for rule_id in dict.fromkeys(rule for cell in row.cells for rule in (*cell.guards, *cell.allows)):
            if rule_id not in seen:
                seen.add(rule_id)
                rule = rules[rule_id]
                text = " and ".join(describe_condition(condition) for condition in rule.conditions)
                yield Note(rule_id, rule.kind, text, rule.span)


def _grant(binding: Binding) -> Grant:
    when = "" if binding.when is None else on_one_line(binding.when.text)
    return Grant(binding.role, " or ".join(_subject(subject) for subject in binding.subjects), when, binding.span)


def _subject(subject: BindingSubject) -> str:
    parts = {
        "subject": subject.subject,
        "group": subject.group,
        "workload": subject.workload,
        "provider": subject.provider,
    }
    return " and ".join(f"{key} {value}" for key, value in parts.items() if value is not None)
