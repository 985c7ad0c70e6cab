"""What `regopy` reads wrongly, found in the text of modules, since its plans do not show it.

It drops a `with` whose value is a reference (`with input.x as input.y`), so such a policy is refused: a variable in its
place is read rightly. And it takes a text without a package for a module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.modules import Module
from extauthz.model.source import Diagnostic

_NO_CODE = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*')
_WITH = re.compile(r"\bwith\s+(?P<target>input|data)\b[^{};]*?\bas\s+(?P<value>[A-Za-z_]\w*)(?P<more>\s*[.\[])?")
_RULE = re.compile(r"^(?:default\s+)?([A-Za-z_]\w*)", re.MULTILINE)
_IMPORT = re.compile(r"^import\s+[\w.\[\]\"]*?(\w+)\"?\]?(?:\s+as\s+(\w+))?\s*$", re.MULTILINE)
_PACKAGE = re.compile(r"\s*package\s+[A-Za-z_]")
_LITERALS = frozenset({"true", "false", "null"})


def without_texts(text: str) -> str:
    """The module with its strings and comments blanked out: every character stays where it is.

    The quote that begins a string stays: something stands there.
    """
    return _NO_CODE.sub(lambda match: match[0][0].replace("#", " ") + re.sub(r"[^\n]", " ", match[0][1:]), text)


def doubts(modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """What must not be compiled."""
    names = {name for module in modules for name in _names(module)} - _LITERALS
    for module in modules:
        code = without_texts(module.text)
        if not _PACKAGE.match(code):
            yield Diagnostic(module.span(0), RegoCode.SYNTAX, "package expected")
        for match in _WITH.finditer(code):
            value = match["value"]
            if match["more"] or value in {"input", "data"} or value in names:
                yield Diagnostic(
                    module.span(match.start("value")),
                    RegoCode.NOT_PLANNED,
                    "a reference as the value of `with`",
                    hint="assign it to a variable first and use that, or compile with OPA",
                )


def _names(module: Module) -> Iterator[str]:
    """Names that stand for references: rules, and what is imported."""
    yield from _RULE.findall(without_texts(module.text))
    for match in _IMPORT.finditer(module.text):
        yield match[2] or match[1]
