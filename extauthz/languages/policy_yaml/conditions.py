"""CEL conditions and variables of a set: compiled in order, findings placed in the file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from extauthz.languages.cel import CelCompiler, CelCondition, CelError
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.positions import place_within
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.shapes import Entry

# String literals and comments of CEL, in which no variable is read.
_NO_CODE = re.compile(
    r"""//[^\n]*|[rRbB]{0,2}(?:'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")""",
    re.DOTALL,
)
_VARIABLE = re.compile(r"(?<![\w.])variables\s*\.\s*([A-Za-z_]\w*)")


class Conditions:
    """Compiles the conditions of one set; its variables are compiled first, each before those that read it."""

    def __init__(self, variables: Sequence[Entry[Scalar]], report: Report) -> None:
        self._report = report
        self._compiler = CelCompiler()
        self._declared = {entry.name: entry.value for entry in variables}
        self._usable: set[str] = set()
        for name in self._in_order():
            self._define(name)

    def compile(self, text: Scalar) -> CelCondition | None:
        """The condition; None after reporting."""
        if not self._reads_usable(text):
            return None
        try:
            return self._compiler.compile(text.text, text.span)
        except CelError as error:
            self._report_findings(text, error)
            return None

    def _define(self, name: str) -> None:
        text = self._declared[name]
        if text is None or not self._reads_usable(text):
            return
        try:
            self._compiler.define_variable(name, text.text)
        except CelError as error:
            self._report_findings(text, error)
            return
        self._usable.add(name)

    def _reads_usable(self, text: Scalar) -> bool:
        """Whether every variable that a text reads is there; one that failed itself is not reported again."""
        usable = True
        for match in _reads(text.text):
            name = match[1]
            if name not in self._declared:
                place = place_within(text, *_line_and_column(text.text, match.start()))
                hint = self._report.suggest(name, self._declared)
                self._report.error(Code.UNKNOWN_VARIABLE, text, f"there is no variable {quoted(name)}", hint, at=place)
            usable = usable and name in self._usable
        return usable

    def _report_findings(self, text: Scalar, error: CelError) -> None:
        for finding in error.findings:
            place = place_within(text, finding.line, finding.column)
            self._report.error(Code.CEL, text, finding.message, finding.hint, at=place)

    def _in_order(self) -> list[str]:
        """The variables, each after those that it reads; one that reads itself is reported and left out."""
        reads = {name: _names(text) & self._declared.keys() for name, text in self._declared.items()}
        ordered: list[str] = []
        waiting = dict(reads)
        while waiting:
            ready = [name for name, names in waiting.items() if not names & waiting.keys()]
            if not ready:
                break
            ordered += ready
            for name in ready:
                del waiting[name]
        for cycle in _cycles(waiting):
            text = self._declared[cycle[0]]
            if text is not None:
                path = " -> ".join(quoted(name) for name in (*cycle, cycle[0]))
                self._report.error(Code.VARIABLE_CYCLE, text, f"a variable reads itself: {path}")
        return ordered


def _reads(text: str) -> list[re.Match[str]]:
    blanked = _NO_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return list(_VARIABLE.finditer(blanked))


def _names(text: Scalar | None) -> set[str]:
    return {match[1] for match in _reads(text.text)} if text is not None else set()


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _cycles(reads: dict[str, set[str]]) -> list[list[str]]:
    """The cycles among variables of which each reads, sooner or later, one that reads itself."""
    cycles: list[list[str]] = []
    seen: set[str] = set()
    for start in reads:
        trail: list[str] = []
        name: str | None = start
        while name is not None and name not in seen:
            seen.add(name)
            trail.append(name)
            name = next((other for other in sorted(reads[name]) if other in reads), None)
        if name in trail:
            cycles.append(trail[trail.index(name) :])
    return cycles
