"""How `--explain` prints: every rule of the route with what came of it, and of each of its conditions."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from extauthz.authoring.explain import Explanation, RuleFinding
from extauthz.cli.render import visible
from extauthz.model.decision import Outcome
from extauthz.model.policy import RuleKind

_WORDS = {Outcome.SATISFIED: "holds", Outcome.UNSATISFIED: "does not hold", Outcome.ERRORED: "cannot be evaluated"}
_MARKS = {Outcome.SATISFIED: "yes", Outcome.UNSATISFIED: "no", Outcome.ERRORED: "error"}


def print_explanation(explanation: Explanation | None, out: Console) -> None:
    """The caller's roles, then deny, require and allow rules; None: the decision came before any rule."""
    if explanation is None:
        out.print("\nno rule was reached")
        return
    out.print(f"\nroles held: {', '.join(explanation.roles) or 'none'}")
    if explanation.errored_roles:
        out.print(f"roles that a failing binding left open: {', '.join(explanation.errored_roles)}", style="yellow")
    for finding in explanation.rules:
        _print_rule(finding, out)


def _print_rule(finding: RuleFinding, out: Console) -> None:
    rule = finding.rule
    line = Text(f"{rule.kind:<8}")
    line.append(visible(rule.id), style="bold")
    line.append(f" {_WORDS[finding.outcome]}", style=_style(finding))
    line.append(f"  {visible(str(rule.span))}", style="dim")
    out.print(line)
    for condition in finding.conditions:
        out.print(f"    {_MARKS[condition.outcome]:<6}{visible(condition.text)}")


def _style(finding: RuleFinding) -> str:
    """Green for what lets the request pass, red for what stops it."""
    if finding.outcome is Outcome.ERRORED:
        return "yellow"
    holds = finding.outcome is Outcome.SATISFIED
    match finding.rule.kind:
        case RuleKind.ALLOW:
            return "green" if holds else "default"
        case RuleKind.DENY:
            return "red" if holds else "default"
        case RuleKind.REQUIRE:
            return "default" if holds else "red"


def explanation_json(explanation: Explanation | None) -> dict[str, object] | None:
    """The same for programs."""
    if explanation is None:
        return None
    return {
        "route": explanation.route.name,
        "roles": list(explanation.roles),
        "errored_roles": list(explanation.errored_roles),
        "rules": [
            {
                "id": finding.rule.id,
                "kind": finding.rule.kind,
                "outcome": finding.outcome,
                "file": finding.rule.span.file,
                "line": finding.rule.span.line,
                "column": finding.rule.span.column,
                "conditions": [{"text": each.text, "outcome": each.outcome} for each in finding.conditions],
            }
            for finding in explanation.rules
        ],
    }
