"""How `--explain` prints: the steps of the decision as a tree, with every rule, condition and part of a condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from extauthz.authoring.describe import on_one_line
from extauthz.authoring.explain import BindingFinding, ConditionFinding, Explanation, RuleFinding, explain
from extauthz.authoring.nearest import Miss
from extauthz.cli.question import Asked
from extauthz.cli.render import visible
from extauthz.languages.cel_parts import PartResult
from extauthz.model.decision import Outcome
from extauthz.model.policy import Authentication, Binding, PolicySet, Route, RuleKind
from extauthz.model.source import Span

_WORDS = {Outcome.SATISFIED: "holds", Outcome.UNSATISFIED: "does not hold", Outcome.ERRORED: "cannot be evaluated"}
_GIVEN = {Outcome.SATISFIED: "gives", Outcome.UNSATISFIED: "does not give", Outcome.ERRORED: "leaves in doubt"}
_STYLES = {Outcome.SATISFIED: "green", Outcome.UNSATISFIED: "default", Outcome.ERRORED: "yellow", None: "default"}
_DIM = "dim"


@dataclass(slots=True)
class Branch:
    """A line with those below it."""

    line: Text
    below: list[Branch] = field(default_factory=list)

    def add(self, line: Text | Branch) -> Branch:
        branch = line if isinstance(line, Branch) else Branch(line)
        self.below.append(branch)
        return branch


def explain_asked(asked: Asked) -> Explanation:
    """How the answer to a question came about."""
    return explain(asked.request, asked.answer.decision, asked.snapshot, asked.now, asked.principal)


# --- For people ----------------------------------------------------------------------------------------------------


def print_explanation(explanation: Explanation, policy_set: PolicySet, out: Console) -> None:
    """The tree; texts of policy and request are made visible, so that they cannot drive a terminal."""
    out.print("why", style="bold")
    _print_branches(list(_steps(explanation, policy_set)), Text(), out)


def _print_branches(branches: Sequence[Branch], guide: Text, out: Console) -> None:
    """Whole lines, which a terminal may wrap and a file keeps: a line that is cut would hide what it says."""
    for number, branch in enumerate(branches, start=1):
        is_last = number == len(branches)
        out.print(guide + Text("└─ " if is_last else "├─ ", style=_DIM) + branch.line)
        _print_branches(branch.below, guide + Text("   " if is_last else "│  ", style=_DIM), out)


def _steps(explanation: Explanation, policy_set: PolicySet) -> Iterator[Branch]:
    refusal = explanation.refusal
    if explanation.path is None:
        yield _line("path", refusal, style="red")
        yield _line("law", explanation.law)
        return
    yield _line("path", explanation.path)
    if explanation.host is None:
        yield _line("host", refusal, style="red")
        yield _line("law", explanation.law)
        return
    yield _line("host", explanation.host)
    yield _route(explanation)
    yield from _caller(explanation)
    if explanation.rules:
        yield from _roles(explanation, policy_set)
    yield from map(_rule, explanation.rules)
    yield _line("law", explanation.law)
    if explanation.misses:
        yield _misses(explanation.misses)


def _line(label: str, text: str, span: Span | None = None, style: str = "") -> Branch:
    line = Text(f"{label:<9}", style=_DIM)
    line.append(visible(text), style=style or "default")
    if span is not None:
        line.append(f"  {visible(str(span))}", style=_DIM)
    return Branch(line)


def _route(explanation: Explanation) -> Branch:
    route = explanation.route
    branch = _line("route", "none", style="red") if route is None else _line("route", _named(route), route.span)
    for name, value in explanation.variables:
        branch.add(Text(visible(f"{name} = {value}")))
    for other in explanation.passed_over:
        line = Text("not ", style=_DIM)
        line.append(visible(f"{other.route.name}: {other.why}"))
        line.append(f"  {visible(str(other.route.span))}", style=_DIM)
        branch.add(line)
    return branch


def _named(route: Route) -> str:
    return f"{route.name}  {route.host or ''}{route.path.text}"


def _caller(explanation: Explanation) -> Iterator[Branch]:
    caller = explanation.caller
    if explanation.route is not None and explanation.route.authentication is Authentication.NONE:
        yield _line("caller", f"not looked at: authentication is {explanation.route.authentication}")
    elif caller is None:
        if explanation.refusal:
            yield _line("caller", f"refused: {explanation.refusal}", style="red")
    elif not caller.authenticated:
        yield _line("caller", "nobody: no credential is presented")
    else:
        branch = _line("caller", f"{caller.subject} (provider {caller.provider})")
        asserted = {"roles": caller.roles, "groups": caller.groups, "scopes": caller.scopes}
        for name, values in asserted.items():
            if values:
                branch.add(Text(visible(f"{name} asserted: {', '.join(values)}")))
        yield branch


def _roles(explanation: Explanation, policy_set: PolicySet) -> Iterator[Branch]:
    if not policy_set.roles:
        return
    branch = _line("roles", ", ".join(explanation.roles) or "none")
    if explanation.errored_roles:
        branch.add(Text(visible(f"in doubt: {', '.join(explanation.errored_roles)}"), style="yellow"))
    for finding in explanation.bindings:
        branch.add(_binding(finding))
    yield branch


def _binding(finding: BindingFinding) -> Branch:
    binding = finding.binding
    line = Text("binding  ", style=_DIM)
    line.append(_GIVEN[finding.outcome], style=_STYLES[finding.outcome])
    line.append(f" {visible(binding.role)}")
    if not finding.is_subject:
        line.append(": the caller is not bound")
    line.append(f"  {visible(str(binding.span))}", style=_DIM)
    branch = Branch(line)
    if finding.parts is not None:
        _add_part(branch, finding.parts)
    return branch


def _rule(finding: RuleFinding) -> Branch:
    rule = finding.rule
    line = Text(f"{rule.kind:<9}", style=_DIM)
    line.append(visible(rule.id), style="bold")
    line.append(f" {_WORDS[finding.outcome]}", style=_rule_style(finding))
    line.append(f"  {visible(str(rule.span))}", style=_DIM)
    branch = Branch(line)
    for condition in finding.conditions:
        branch.add(_condition(condition))
    return branch


def _rule_style(finding: RuleFinding) -> str:
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


def _condition(finding: ConditionFinding) -> Branch:
    line = Text(visible(finding.text))
    line.append(f" {_WORDS[finding.outcome]}", style=_STYLES[finding.outcome])
    if finding.having:
        line.append(f": {visible(finding.having)}", style=_DIM)
    branch = Branch(line)
    if finding.parts is not None:
        for part in finding.parts.below or (finding.parts,):
            _add_part(branch, part)
    if finding.rego is not None:
        for run in finding.rego.runs:
            ran = Text(visible(f"{run.name} = {run.value}"))
            ran.append(f"  {visible(str(run.span))}", style=_DIM)
            branch.add(ran)
        if finding.rego.problem:
            branch.add(Text(visible(f"error: {finding.rego.problem}"), style="yellow"))
    return branch


def _add_part(branch: Branch, part: PartResult) -> None:
    line = Text(visible(part.part.text))
    if part.result.outcome is Outcome.ERRORED:
        line.append(f"  error: {visible(part.result.text)}", style="yellow")
    else:
        line.append(f" = {visible(part.result.text)}", style=_STYLES[part.result.outcome])
    below = branch.add(line)
    for child in part.below:
        _add_part(below, child)


def _misses(misses: Sequence[Miss]) -> Branch:
    branch = _line("nearest", "it would have been allowed with")
    for miss in misses:
        branch.add(Text(visible(str(miss))))
    return branch


# --- For programs --------------------------------------------------------------------------------------------------


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """The same for programs."""
    caller = explanation.caller
    return {
        "path": explanation.path,
        "host": explanation.host,
        "refusal": explanation.refusal or None,
        "route": None if explanation.route is None else explanation.route.name,
        "variables": dict(explanation.variables),
        "passed_over": [
            {"route": other.route.name, "why": other.why, **_place(other.route.span)}
            for other in explanation.passed_over
        ],
        "caller": None
        if caller is None or not caller.authenticated
        else {
            "subject": caller.subject,
            "provider": caller.provider,
            "roles": list(caller.roles),
            "groups": list(caller.groups),
            "scopes": list(caller.scopes),
        },
        "roles": list(explanation.roles),
        "errored_roles": list(explanation.errored_roles),
        "bindings": [
            {
                **_binding_json(finding.binding),
                "is_subject": finding.is_subject,
                "outcome": finding.outcome,
                "parts": _part_json(finding.parts),
            }
            for finding in explanation.bindings
        ],
        "rules": [_rule_json(finding) for finding in explanation.rules],
        "law": explanation.law,
        "nearest": [
            {
                "rule": miss.rule,
                "facts": [{"kind": fact.kind, "text": fact.text, "now": fact.now or None} for fact in miss.facts],
                "tried": miss.tried,
            }
            for miss in explanation.misses
        ],
    }


def _rule_json(finding: RuleFinding) -> dict[str, object]:
    return {
        "id": finding.rule.id,
        "kind": finding.rule.kind,
        "outcome": finding.outcome,
        **_place(finding.rule.span),
        "conditions": [
            {
                "text": condition.text,
                "outcome": condition.outcome,
                "having": condition.having or None,
                "parts": _part_json(condition.parts),
                **({} if condition.rego is None else {"rego": dataclasses.asdict(condition.rego)}),
            }
            for condition in finding.conditions
        ],
    }


def _binding_json(binding: Binding) -> dict[str, object]:
    when = None if binding.when is None else on_one_line(binding.when.text)
    return {"role": binding.role, "when": when, **_place(binding.span)}


def _part_json(part: PartResult | None) -> dict[str, object] | None:
    if part is None:
        return None
    return {
        "text": part.part.text,
        "value": part.result.text,
        "outcome": part.result.outcome,
        "parts": [_part_json(child) for child in part.below],
    }


def _place(span: Span) -> dict[str, object]:
    return {"file": span.file, "line": span.line, "column": span.column}
