"""`extauthz policy rule`: what a diagnostic means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from extauthz.cli.render import OutputFormat, console, print_json
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.authoring.pages import AnyCode


def describe(
    code: Annotated[
        str | None, typer.Argument(metavar="[EAZnnn]", help="A code, as diagnostics show it; without one, all of them.")
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print it.")] = OutputFormat.TEXT,
) -> None:
    """Say what a diagnostic means and, for a warning, why it is one and what to write instead.

    Example: extauthz policy rule EAZ902
    """
    from extauthz.authoring.pages import ALL_CODES, find

    found = None if code is None else find(code)
    if code is not None and found is None:
        raise ConfigurationError(f"there is no code {code!r}: `extauthz policy rule` lists them")
    chosen = list(ALL_CODES) if found is None else [found]
    if output is OutputFormat.JSON:
        print_json([_as_json(each) for each in chosen])
    elif found is None:
        for each in chosen:
            console().print(f"{each.value}  {each.meaning}")
    else:
        _print(found, console())


def _print(code: AnyCode, out: Console) -> None:
    from extauthz.authoring.pages import ADVICE, is_warning, kind_of

    out.print(f"{code.value}: {code.meaning}", style="bold")
    serious = "a warning: the set may be served" if is_warning(code) else "an error: the set is not served"
    out.print(f"{serious}; it is about {kind_of(code)}")
    advice = ADVICE.get(code)
    if advice is not None:
        out.print(f"\n{advice.why}")
        for title, text in (("not", advice.wrong), ("but", advice.right)):
            out.print(f"\n{title}:\n", style="bold")
            out.print("".join(f"    {line}\n" for line in text.splitlines()), end="")


def _as_json(code: AnyCode) -> dict[str, object]:
    from extauthz.authoring.pages import ADVICE, is_warning, kind_of

    advice = ADVICE.get(code)
    return {
        "code": code.value,
        "meaning": code.meaning,
        "severity": "warning" if is_warning(code) else "error",
        "about": kind_of(code),
        "why": None if advice is None else advice.why.replace("\n", " "),
        "wrong": None if advice is None else advice.wrong,
        "right": None if advice is None else advice.right,
    }
