"""Flags that several commands have, described once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set.")]
ValuesOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
]


@dataclass(frozen=True, slots=True)
class RequestFlags:
    """A request as the command line describes it: the flags of every command that asks about one."""

    request: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A captured CheckRequest, as JSON or serialised.")
    ] = None
    method: Annotated[
        str | None, typer.Option(metavar="M", help="The method; GET if not given.", show_default=False)
    ] = None
    path: Annotated[str | None, typer.Option(metavar="P", help="The path, with its query.")] = None
    host: Annotated[
        str | None,
        typer.Option(metavar="H", help="The host; if not given, the only one that the policy names, else localhost."),
    ] = None
    header: Annotated[list[str] | None, typer.Option(metavar="K:V", help="A header; repeatable.")] = None
    source: Annotated[str | None, typer.Option(metavar="IP", help="The address of the connection's peer.")] = None
    workload: Annotated[
        str | None, typer.Option(metavar="URI", help="The SPIFFE ID of the connection's peer (mTLS).")
    ] = None
    token: Annotated[str | None, typer.Option(metavar="T", help="A bearer token, verified as in service.")] = None
    claims: Annotated[
        str | None, typer.Option(metavar="JSON", help="Claims taken as verified, instead of a token.")
    ] = None
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When: RFC 3339 or epoch seconds; now if not given.", show_default=False),
    ] = None


def with_request_flags(command: Callable[..., int]) -> Callable[..., int]:
    """The command with a flag for each of `RequestFlags` in place of its parameter `flags`."""
    signature = inspect.signature(command, eval_str=True)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in get_type_hints(RequestFlags, include_extras=True).items()
    ]

    @functools.wraps(command)
    def run(**given: Any) -> int:
        return command(flags=RequestFlags(**{flag.name: given.pop(flag.name) for flag in flags}), **given)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        taken = flags if parameter.name == "flags" else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += taken
    vars(run)["__signature__"] = signature.replace(parameters=parameters)  # what typer reads flags from
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
