"""Rego rules of a set: its modules are compiled once, all of them, and conditions name rules in them.

What is wrong with a module is reported beside what is wrong with the policy. Every rule of every module is compiled,
named or not, so that a typo is an error where it stands and every rule is known by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.rego import DataFile, Module, Planner, join_data
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.condition import RegoCondition, RegoPolicy, rego_condition
from extauthz.languages.rego.decision import RegoDecision
from extauthz.languages.rego.modules import path_of, with_lines


@dataclass(frozen=True, slots=True)
class RegoSources:
    """The Rego that stands beside a policy, read, and what compiles it."""

    modules: Sequence[Module]
    data: Sequence[DataFile]
    planner: Planner


class RegoRules:
    """Makes conditions of rules by their names."""

    def __init__(self, sources: RegoSources | None, report: Report) -> None:
        self._report = report
        self._is_broken = False
        self._policy: RegoPolicy | None = None
        if sources is not None and any(module.has_rules for module in sources.modules):
            try:
                self._policy = compile_rego(sources)
            except PolicyError as error:
                self._is_broken = True
                report.take(with_lines(error.diagnostics, sources.modules))

    def condition(self, name: Scalar) -> RegoCondition | None:
        """The condition that `data.shop.reports.allow` is; None after reporting, or where modules are broken."""
        path = path_of(name.text.removeprefix("data."))
        rules = self._policy.program.rules if self._policy is not None else ()
        if self._policy is not None and path in rules:
            return rego_condition(self._policy, path, name.text, name.span)
        if not self._is_broken:
            known = [f"data.{rule.replace('/', '.')}" for rule in rules]
            hint = self._report.suggest(name.text, known) or "it must stand in a *.rego file of the set"
            self._report.error(RegoCode.UNKNOWN_RULE, name, f"no module defines {quoted(name.text)}", hint)
        return None

    def decision(self, name: Scalar, headers: tuple[str, ...]) -> RegoDecision | None:
        """As `condition`, of a rule that decides as a whole and may put these headers upstream."""
        rule = self.condition(name)
        return None if rule is None else RegoDecision(rule, headers)


def compile_rego(sources: RegoSources) -> RegoPolicy:
    """The modules, compiled.

    Raises:
        PolicyError: with everything that is wrong with them.
    """
    data = join_data(sources.data)
    packages = sorted({module.package for module in sources.modules if module.package and module.has_rules})
    return RegoPolicy(json.dumps(sources.planner(sources.modules, packages)), data)
