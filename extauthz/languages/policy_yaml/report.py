"""Findings about a policy set, collected: an author sees everything that is wrong at once, each at its place.

A message never carries raw text of the policy into a terminal: control characters are shown as escapes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode, Document, Scalar, yaml_paths
from extauthz.languages.rego.codes import RegoCode
from extauthz.model.source import Diagnostic, Severity, Span

_LONGEST_QUOTE = 80
_LONGEST_SOURCE_LINE = 400
_MOST_LISTED = 12
_MOST_COMPARISONS = 50_000
"""Of words for hints, in one report: about a second. A set with more mistakes than that has hints enough."""


def quoted(text: str) -> str:
    """A text of the policy for a message: in quotes, on one line, without control characters, not endless."""
    shown = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    return f"'{_printable(shown)}'"


def _printable(text: str) -> str:
    """The text with what could drive a terminal shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def listed(texts: Iterable[str], conjunction: str = "or") -> str:
    """`'a', 'b' or 'c'`."""
    *head, last = [quoted(text) for text in texts]
    return f"{', '.join(head)} {conjunction} {last}" if head else last


def closest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that this one resembles; empty when there is none."""
    close = difflib.get_close_matches(word[:_LONGEST_QUOTE], sorted(known), n=1, cutoff=0.6)
    return f"did you mean {quoted(close[0])}?" if close else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """As `closest`, else a hint at all that are known, when they are few."""
    known = sorted(known)
    return closest(word, known) or _all_of(known)


def _all_of(known: Sequence[str]) -> str:
    return f"known here: {', '.join(known)}" if 0 < len(known) <= _MOST_LISTED else ""


class Report:
    """All findings of one parse."""

    def __init__(self) -> None:
        self._found: list[tuple[Diagnostic, AnyNode | None]] = []
        self._documents: dict[str, Document] = {}
        self._comparisons_left = _MOST_COMPARISONS
        self.has_errors = False

    def know(self, document: Document) -> None:
        """Lets findings show lines of this document."""
        self._documents[document.path] = document

    def error(
        self, code: Code | RegoCode, place: AnyNode | Span, message: str, hint: str = "", *, at: Span | None = None
    ) -> None:
        """A finding that keeps the set from being served; `at` is a closer place within the node."""
        self.has_errors = True
        self._add(code, place, message, hint, Severity.ERROR, at)

    def warning(
        self, code: Code, place: AnyNode | Span, message: str, hint: str = "", *, at: Span | None = None
    ) -> None:
        """A finding that does not."""
        self._add(code, place, message, hint, Severity.WARNING, at)

    def take(self, findings: Iterable[Diagnostic]) -> None:
        """Errors that another compiler found, whole."""
        for found in findings:
            self.has_errors = True
            shown = replace(found, message=_printable(found.message), hint=_printable(found.hint))
            self._found.append((shown, None))

    def unknown(self, code: Code, name: Scalar, what: str, known: Iterable[str]) -> None:
        """An error about a name that is not declared, with the one that it resembles."""
        self.error(code, name, f"there is no {what} {quoted(name.text)}", self.suggest(name.text, known))

    def closest(self, word: str, known: Iterable[str]) -> str:
        """As the function of this name, within the report's limit."""
        known = tuple(known)
        self._comparisons_left -= len(known)
        return closest(word, known) if self._comparisons_left >= 0 else ""

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """As `did_you_mean`, within the report's limit."""
        known = sorted(known)
        return self.closest(word, known) or _all_of(known)

    def _add(
        self, code: Code | RegoCode, place: AnyNode | Span, message: str, hint: str, severity: Severity, at: Span | None
    ) -> None:
        node = None if isinstance(place, Span) else place
        span = at or (place if isinstance(place, Span) else place.span)
        # Messages of other compilers quote the policy as it is.
        found = Diagnostic(span, code.value, _printable(message), severity, hint=_printable(hint))
        self._found.append((found, node))

    def diagnostics(self, roots: Sequence[AnyNode]) -> tuple[Diagnostic, ...]:
        """The findings, sorted, with their YAML paths and source lines, each once."""
        paths = yaml_paths(roots, {id(node) for _, node in self._found if node is not None})
        complete = {
            (found.span, found.code, found.message): Diagnostic(
                found.span,
                found.code,
                found.message,
                found.severity,
                path=paths.get(id(node), ""),
                hint=found.hint,
                source_line=_shown_line(found.source_line) or self._source_line(found.span),
            )
            for found, node in self._found
        }
        return tuple(sorted(complete.values()))

    def _source_line(self, span: Span) -> str:
        document = self._documents.get(span.file)
        return _shown_line(document.line(span.line)) if document else ""


def _shown_line(line: str) -> str:
    if len(line) > _LONGEST_SOURCE_LINE:
        return ""
    # One column each, so that the caret stands where it should.
    return "".join(c if c.isprintable() else " " for c in line).rstrip()
