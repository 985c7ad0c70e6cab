"""Rego modules as text: what can be said of them without compiling, and diagnostics in their lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from extauthz.errors import PolicyError
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.program import RegoProgram, load_plan
from extauthz.languages.rego.value import Value, parse_json
from extauthz.model.source import Diagnostic, Span

_PACKAGE = re.compile(
    r'(?:\s|#[^\n]*\n)*package[ \t]+(?P<path>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\["[^"\\/\n]+"\])*)[ \t]*(?:[#\n\r;]|\Z)'
)
_STEP = re.compile(r'([A-Za-z_]\w*)|\["([^"]+)"\]')


@dataclass(frozen=True, slots=True)
class Module:
    """A Rego module, read."""

    path: str
    """As the user gave it: it stands in messages."""
    text: str

    @property
    def package(self) -> str | None:
        """The path of its package, as in `shop/reports`; None when the text does not begin with one."""
        match = _PACKAGE.match(self.text)
        return None if match is None else path_of(match["path"])

    @property
    def has_rules(self) -> bool:
        """Whether there is more in it than a package, imports and comments."""
        return re.fullmatch(r"(?:\s*(?:(?:package|import)\b[^\n]*|#[^\n]*|))*", self.text) is None

    def line(self, number: int) -> str:
        """A line of it; empty when there is none of that number."""
        lines = self.text.splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def span(self, offset: int) -> Span:
        """The place of a character."""
        before = self.text[:offset]
        return Span(self.path, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def path_of(reference: str) -> str:
    """A reference such as `shop.reports` or `shop["my-reports"]` as a path: `shop/my-reports`."""
    return "/".join(name or quoted for name, quoted in _STEP.findall(reference))


Planner = Callable[[Sequence[Module], Sequence[str]], object]
"""Makes a plan's JSON document from modules, for entry points such as `shop/reports/allow`; raises PolicyError."""


def load_modules(modules: Sequence[Module], data: Value, entry_points: Sequence[str], planner: Planner) -> RegoProgram:
    """A program from modules.

    Args:
        modules: the policy, of at least one module.
        data: the data document, an object.
        entry_points: documents that can be evaluated, such as `shop/reports/allow` or, for a whole package, `shop`.
        planner: what compiles modules to a plan.

    Raises:
        PolicyError: with everything that is wrong, at its place.
    """
    try:
        program = load_plan(planner(modules, entry_points), data)
    except PolicyError as error:
        raise PolicyError(with_lines(error.diagnostics, modules)) from error
    place = Span(modules[0].path if modules else "<rego>", 1, 1)
    unknown = [path for path in entry_points if not program.has_rules_at(path)]
    if unknown:
        raise PolicyError(
            Diagnostic(place, RegoCode.UNKNOWN_RULE, f"no module defines data.{path.replace('/', '.')}")
            for path in unknown
        )
    return program


def with_lines(diagnostics: Sequence[Diagnostic], modules: Sequence[Module]) -> list[Diagnostic]:
    """The diagnostics with the lines of the modules that they are about."""
    known: Mapping[str, Module] = {module.path: module for module in modules}
    return [
        replace(d, source_line=known[d.span.file].line(d.span.line)) if d.span.file in known else d for d in diagnostics
    ]


def parse_data(path: str, content: bytes) -> Value:
    """A data document (`data.json`).

    Raises:
        PolicyError: it is not a JSON object.
    """
    try:
        value = parse_json(content.decode())
    except (UnicodeDecodeError, BuiltinError) as error:
        raise PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.DATA, f"not a JSON text: {error}")]) from error
    if type(value) is not dict:
        raise PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.DATA, "the data document must be an object")])
    return value


def plan_document(path: str, content: bytes) -> object:
    """A plan (`plan.json`) as JSON.

    Raises:
        PolicyError: it is not JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        message = f"not a JSON text: {type(error).__name__}"
        raise PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.NOT_A_PLAN, message)]) from error
