"""Flags that several commands have, described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set.")]
RequestOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A captured CheckRequest, as JSON or serialised.")
]
MethodOption = Annotated[
    str | None, typer.Option(metavar="M", help="The method; GET if not given.", show_default=False)
]
PathOption = Annotated[str | None, typer.Option(metavar="P", help="The path, with its query.")]
HostOption = Annotated[
    str | None,
    typer.Option(metavar="H", help="The host; if not given, the only one that the policy names, else localhost."),
]
HeaderOption = Annotated[list[str] | None, typer.Option(metavar="K:V", help="A header; repeatable.")]
SourceOption = Annotated[str | None, typer.Option(metavar="IP", help="The address of the connection's peer.")]
WorkloadOption = Annotated[
    str | None, typer.Option(metavar="URI", help="The SPIFFE ID of the connection's peer (mTLS).")
]
TokenOption = Annotated[str | None, typer.Option(metavar="T", help="A bearer token, verified as in service.")]
ClaimsOption = Annotated[str | None, typer.Option(metavar="JSON", help="Claims taken as verified, instead of a token.")]
AtOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="When: RFC 3339 or epoch seconds; now if not given.", show_default=False),
]
ValuesOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
]
