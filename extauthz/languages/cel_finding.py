"""What is wrong with a condition, as its author reads it: the CEL library's compile errors in our words.

The library reports by text only, `ERROR: <input>:line:column: message`; what cannot be parsed is passed on as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

MACROS = {
    "all": "list.all(x, condition)",
    "exists": "list.exists(x, condition)",
    "exists_one": "list.exists_one(x, condition)",
    "filter": "list.filter(x, condition)",
    "has": "has(claims.name)",
    "map": "list.map(x, expression)",
}
FUNCTIONS = frozenset(
    {
        *("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"),
        *("contains", "endsWith", "matches", "size", "startsWith"),
        *("charAt", "format", "indexOf", "join", "lastIndexOf", "lowerAscii", "quote", "replace", "reverse", "split"),
        *("substring", "trim", "upperAscii"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds"),
        *("getMinutes", "getMonth", "getSeconds"),
    }
)
_FOREIGN_OPERATORS = {"=": "==", "and": "&&", "or": "||", "not": "!", "&": "&&", "|": "||", "===": "=="}


class CelFinding(NamedTuple):
    """One thing wrong, and where within the text; line and column count from 1, columns in code points."""

    line: int
    column: int
    message: str
    hint: str = ""


class CelError(Exception):
    """A text that is no condition (or no variable), with everything that was found."""

    def __init__(self, findings: Iterable[CelFinding]) -> None:
        self.findings: tuple[CelFinding, ...] = tuple(sorted(set(findings)))
        super().__init__("; ".join(f"{f.line}:{f.column}: {f.message}" for f in self.findings))


def findings_of(library_message: str, text: str, names: Collection[str]) -> list[CelFinding]:
    """What the library says about `text`; `names` are those that may be used, for suggestions."""
    reported = re.findall(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", library_message, re.MULTILINE)
    if not reported:
        return [_about_the_whole(library_message)]
    findings: list[CelFinding] = []
    syntax_error_seen = False
    for line, column, raw in reported:
        message = raw.removesuffix(" [INVALID_ARGUMENT]")
        if message.startswith("Syntax error: "):
            if syntax_error_seen:
                continue  # what follows the first one is the parser finding its way back
            syntax_error_seen = True
        if int(line) < 1:
            findings.append(_about_the_whole(message))
        else:
            findings.append(_at(int(line), max(1, int(column)), message, text, names))
    return findings


def _about_the_whole(message: str) -> CelFinding:
    if "recursion" in message:
        return CelFinding(1, 1, "nested too deeply", "name parts of it in `variables`")
    if "codepoint limit" in message:
        return CelFinding(1, 1, "longer than 100,000 characters")
    return CelFinding(1, 1, f"not a CEL expression: {message}")


def _at(line: int, column: int, message: str, text: str, names: Collection[str]) -> CelFinding:
    source = dict(enumerate(text.split("\n"), start=1)).get(line, "")
    if unknown := re.match(r"undeclared reference to '([^']+)'", message):
        return _unknown_name(unknown[1], line, column, source, names)
    if overload := re.match(r"found no matching overload for '([^']+)' applied to '\((.*)\)'", message):
        return CelFinding(line, column, f"{_operator(overload[1])} does not take ({overload[2]})")
    if message.startswith("Syntax error: "):
        return _syntax_error(line, column, message.removeprefix("Syntax error: "), source)
    if message == "has() argument must be a field selection":
        return CelFinding(line, column, "has() takes a field, as in has(claims.name)", "or write 'name' in claims")
    return CelFinding(line, column, message)


def _operator(function: str) -> str:
    return f"'{function.strip('@')}'" if function.strip("@").isidentifier() else f"'{function.replace('_', '')}'"


def _syntax_error(line: int, column: int, message: str, source: str) -> CelFinding:
    if "'<EOF>'" in message and message.startswith("mismatched"):
        return CelFinding(line, column, "the expression ends too early")
    if keyword := re.match(r"no viable alternative at input '\.(\w+)'", message):
        return CelFinding(line, column, f"'{keyword[1]}' is a keyword", f"write ['{keyword[1]}'] for .{keyword[1]}")
    token = re.search(r"[^\s\w]+|\w+", source[column - 1 :])
    suggestion = _FOREIGN_OPERATORS.get(token[0]) if token else None
    hint = f"write '{suggestion}'" if suggestion else ""
    return CelFinding(line, column, f"syntax error: {re.sub(' expecting .*', '', message)}", hint)


def _unknown_name(name: str, line: int, column: int, source: str, names: Collection[str]) -> CelFinding:
    """Calls are reported at their parenthesis, dotted names at their last dot: moved to where the name begins."""
    place = source[: column - 1]
    if source[column - 1 : column] == "(":
        start = column - len(name) if place.endswith(name) else column
        return _unknown_function(name, line, start)
    above = name.rpartition(".")[0]
    start = column - len(above) if above and place.endswith(above) else column
    return CelFinding(line, start, f"unknown name '{name}'", _name_hint(name, names))


def _unknown_function(name: str, line: int, column: int) -> CelFinding:
    if name in MACROS:
        return CelFinding(line, column, f"'{name}' is not used like this", f"write {MACROS[name]}")
    if name in FUNCTIONS:
        return CelFinding(line, column, f"no '{name}' takes these arguments")
    return CelFinding(line, column, f"unknown function '{name}'", did_you_mean(name, [*FUNCTIONS, *MACROS]))


def _name_hint(name: str, names: Collection[str]) -> str:
    head, _, rest = name.partition(".")
    below = sorted(known for known in names if known.startswith(f"{head}."))
    roots = {known for known in names if "." not in known}
    if rest and not below and head not in roots:
        nearest = difflib.get_close_matches(head, roots, n=1)
        return f"did you mean '{nearest[0]}.{rest}'?" if nearest else did_you_mean(name, names)
    return did_you_mean(name, names) or (f"there are {', '.join(below)}" if below else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word; empty when none is near."""
    nearest: Sequence[str] = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.75)
    return f"did you mean '{nearest[0]}'?" if nearest else ""
