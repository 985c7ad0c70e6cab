"""Which lines of a set's Rego modules its tests evaluate, those in YAML and those in Rego alike.

A line is evaluated when an expression on it is; a line without an expression, a comment or a brace, is none to see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from extauthz.authoring.coverage import Item
from extauthz.authoring.covered import Kind
from extauthz.authoring.rego_tests import RegoSuite
from extauthz.languages.rego import Module
from extauthz.languages.rego.condition import RegoCondition, RegoPolicy
from extauthz.languages.rego.decision import RegoDecision
from extauthz.languages.rego.marks import LineMarks
from extauthz.model.policy import PolicySet, When
from extauthz.model.source import Span

EVALUATED = "evaluated"


class RegoCoverage:
    """Counts from when it is made."""

    def __init__(self, modules: Sequence[Module], policy_set: PolicySet, suite: RegoSuite | None) -> None:
        """Count what conditions of the set and its tests in Rego evaluate of the modules."""
        self._modules = {module.path: module for module in modules}
        self._marks = LineMarks()
        for policy in _policies(policy_set):
            policy.count_lines(self._marks)
        if suite is not None:
            suite.count_lines(self._marks)

    @property
    def items(self) -> tuple[Item, ...]:
        """An item for each line with an expression, in the order of modules and lines."""
        return tuple(
            Item(
                Kind.REGO,
                self._modules[file].line(line).strip(),
                Span(file, line, 1),
                (EVALUATED,),
                Counter({EVALUATED: count}) if count else Counter(),
            )
            for (file, line), count in self._marks.by_line.items()
            if file in self._modules
        )


def _policies(policy_set: PolicySet) -> list[RegoPolicy]:
    """The compiled Rego of a set, once: all conditions share it."""
    rules = [rule for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow)]
    conditions = [key.condition for rule in rules for key in rule.conditions if isinstance(key, When)]
    found = [c.rule if isinstance(c, RegoDecision) else c for c in conditions]
    return list({id(c.policy): c.policy for c in found if isinstance(c, RegoCondition)}.values())
