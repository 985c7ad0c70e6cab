"""Rules: their keys become conditions, ANDed.

A rule's id is `<scope>.<kind>.<name or position>`: the scope is the route's name, the group's name or prefix, or `set`;
a rule without a name has its position in its list, from 0. So `order.allow.owner`, `/admin.require.0`,
`set.deny.suspended`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from extauthz.languages.cel import CelCondition
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.conditions import Conditions
from extauthz.languages.policy_yaml.language import DecisionText, RuleText
from extauthz.languages.policy_yaml.networks import read_networks, read_workloads
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.rego import RegoRules
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.roles import Grants
from extauthz.languages.policy_yaml.shapes import texts
from extauthz.languages.rego.decision import RegoDecision
from extauthz.model.decision import PolicyId
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Condition,
    ConditionKey,
    GroupIs,
    ProviderIs,
    RemoteIpIs,
    Role,
    RoleIs,
    Rule,
    RuleKind,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """A rule with the text that it came from."""

    rule: Rule
    text: RuleText

    @property
    def when(self) -> CelCondition | None:
        """Its CEL condition, if it has one that compiles."""
        compiled = (c.condition for c in self.rule.conditions if isinstance(c, When))
        return next((condition for condition in compiled if isinstance(condition, CelCondition)), None)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Its compiled conditions, in whatever language."""
        return tuple(c.condition for c in self.rule.conditions if isinstance(c, When))

    def place_of(self, condition: Condition) -> AnyNode:
        """Where one of `conditions` is written."""
        written = self.text.when if isinstance(condition, CelCondition) else self.text.rego
        return written or self.text.owner


def decision_of(rules: Iterable[WrittenRule]) -> RegoDecision | None:
    """What decides as a whole, among the allow rules of a route."""
    conditions = (condition for rule in rules for condition in rule.conditions)
    return next((condition for condition in conditions if isinstance(condition, RegoDecision)), None)


class RuleReader:
    """Reads the rules of a set."""

    def __init__(
        self,
        roles: Mapping[str, Role],
        providers: Sequence[str],
        trust_domains: Sequence[str],
        conditions: Conditions,
        rego: RegoRules,
        report: Report,
    ) -> None:
        self._roles = roles
        self._grants = Grants(roles)
        self._providers = providers
        self._trust_domains = trust_domains
        self._conditions = conditions
        self._rego = rego
        self._report = report
        self.all: list[WrittenRule] = []
        """Every rule that was read, each once."""
        self._ids: dict[PolicyId, RuleText] = {}
        self._readers: dict[str, Callable[[RuleText], ConditionKey | None]] = {
            "anyone": lambda _: Anyone(),
            "authenticated": lambda _: Authenticated(),
            "role": lambda rule: self._role(rule.role or ()),
            "permission": lambda rule: self._permission(rule.permission or ()),
            "scope": lambda rule: ScopeIs(texts(rule.scope)),
            "group": lambda rule: GroupIs(texts(rule.group)),
            "subject": lambda rule: SubjectIs(texts(rule.subject)),
            "provider": lambda rule: self._provider(rule.provider or ()),
            "workload": lambda rule: WorkloadIs(read_workloads(rule.workload or (), trust_domains, report)),
            "remote_ip": lambda rule: RemoteIpIs(read_networks(rule.remote_ip or (), report), direct=False),
            "direct_remote_ip": lambda rule: RemoteIpIs(
                read_networks(rule.direct_remote_ip or (), report), direct=True
            ),
            "when": lambda rule: self._when(rule.when),
            "rego": lambda rule: self._rego_rule(rule.rego),
        }

    def read(self, written: Iterable[RuleText] | None, kind: RuleKind, scope: str) -> tuple[WrittenRule, ...]:
        """The rules of one list."""
        rules = tuple(self._rule(text, kind, scope, index) for index, text in enumerate(written or ()))
        self.all.extend(rules)
        return rules

    def read_decision(self, text: DecisionText, scope: str, headers: tuple[str, ...]) -> WrittenRule:
        """What decides on a route as a whole, as an allow rule of its own; see `decision_of`."""
        decision = self._rego.decision(text.rego, headers) if text.rego is not None else None
        conditions = () if decision is None else (When(decision),)
        rule = Rule(PolicyId(f"{scope}.decision"), RuleKind.ALLOW, conditions, text.node.span)
        # Whatever is checked of rules with a Rego condition is checked of this one.
        written = WrittenRule(rule, RuleText(text.node, text.owner, {RuleText.rego: text.rego}))
        self.all.append(written)
        return written

    def _rule(self, text: RuleText, kind: RuleKind, scope: str, index: int) -> WrittenRule:
        name = text.name.text if text.name is not None else str(index)
        rule_id = PolicyId(f"{scope}.{kind.value}.{name}")
        first = self._ids.setdefault(rule_id, text)
        if first is not text:
            place = text.name or text.owner
            message = f"the rule at {first.owner.span} is called {quoted(rule_id)} as well"
            self._report.error(Code.DUPLICATE_NAME, place, message, "give it another name")
        written = [key for key in text.node.entries if key != "name"]
        if not written:
            hint = f"write one of {', '.join(self._readers)}"
            self._report.error(Code.NO_CONDITION, text.owner, "the rule has no condition", hint)
        read = [self._readers[key](text) for key in written if key in self._readers]
        return WrittenRule(Rule(rule_id, kind, tuple(c for c in read if c is not None), text.node.span), text)

    def _role(self, names: Sequence[Scalar]) -> RoleIs:
        for scalar in names:
            if scalar.text not in self._roles:
                self._report.unknown(Code.UNKNOWN_ROLE, scalar, "role", self._roles)
        return RoleIs(frozenset(texts(names)))

    def _permission(self, names: Sequence[Scalar]) -> RoleIs:
        for scalar in names:
            if "*" in scalar.text:
                message = f"a rule asks for one permission, and {quoted(scalar.text)} is a wildcard"
                self._report.error(Code.PERMISSION, scalar, message, "roles have wildcards, rules name permissions")
            elif not self._grants.roles_for(scalar.text):
                hint = self._report.suggest(scalar.text, self._grants.permissions)
                self._report.warning(Code.NOT_GRANTED, scalar, f"no role grants {quoted(scalar.text)}", hint)
        permissions = texts(names)
        roles = frozenset(role for permission in permissions for role in self._grants.roles_for(permission))
        return RoleIs(roles, permissions)

    def _provider(self, names: Sequence[Scalar]) -> ProviderIs:
        for scalar in names:
            if scalar.text not in self._providers:
                self._report.unknown(Code.UNKNOWN_PROVIDER, scalar, "provider", self._providers)
        return ProviderIs(texts(names))

    def _when(self, text: Scalar | None) -> When | None:
        condition = self._conditions.compile(text) if text is not None else None
        return When(condition) if condition is not None else None

    def _rego_rule(self, name: Scalar | None) -> When | None:
        condition = self._rego.condition(name) if name is not None else None
        return When(condition) if condition is not None else None
