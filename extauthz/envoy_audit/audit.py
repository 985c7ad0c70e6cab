"""A configuration -> what the rules find in it, and what they could not see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from extauthz.envoy_audit.codes import RULES
from extauthz.envoy_audit.manager import Manager, get, managers
from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.model.source import Diagnostic, Span


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of it."""

    managers: int
    """HttpConnectionManagers that were looked at."""
    findings: tuple[Diagnostic, ...]
    """Sorted by place."""
    unseen: tuple[str, ...]
    """What Envoy gets from elsewhere: nothing is said about it."""


def audit(path: str, content: bytes, *, ignored: Collection[str] = ()) -> Audit:
    """Look at a configuration: a bootstrap, listeners, or an HttpConnectionManager; YAML or JSON.

    Args:
        path: stands in findings.
        content: the file's.
        ignored: codes of rules that are not asked.

    Raises:
        PolicyError: it cannot be read.
    """
    report = Report()
    root = read_document(path, content, report)
    problems = report.diagnostics([] if root is None else [root])
    # NUL in a text is nothing for a policy, and an ordinary part of a condition here.
    problems = problems if root is None else tuple(each for each in problems if each.code != Code.ENCODING.value)
    if root is None or problems:
        raise PolicyError(problems)
    found = managers(root)
    rules = [rule for rule in RULES if rule.code not in ignored]
    findings = {
        (finding.node.span, rule.code, finding.message): Diagnostic(
            finding.node.span,
            rule.code,
            finding.message,
            rule.severity,
            hint=finding.hint,
            source_line=finding.node.document.line(finding.node.line),
        )
        for manager in found
        for rule in rules
        for finding in rule.check(manager)
    }
    return Audit(len(found), tuple(sorted(findings.values())), _unseen(root, found))


def _unseen(root: AnyNode, found: list[Manager]) -> tuple[str, ...]:
    notes: list[str] = []
    for manager in found:
        rds = get(manager.node, "rds")
        if rds is not None:
            notes.append(f"{_at(rds)}: routes come by discovery")
        notes += [
            f"{_at(each.node)}: the configuration of {each.name} comes by discovery"
            for each in manager.filters
            if get(each.node, "config_discovery") is not None
        ]
    lds = get(root, "dynamic_resources", "lds_config")
    return (*notes, *([f"{_at(lds)}: listeners come by discovery"] if lds is not None else []))


def _at(node: AnyNode) -> Span:
    return node.span
