"""`extauthz policy explain`: why a request is decided as it is."""

from __future__ import annotations

from typing import Annotated

import typer

from extauthz.cli.decide import decide
from extauthz.cli.options import (
    AtOption,
    ClaimsOption,
    HeaderOption,
    HostOption,
    MethodOption,
    PathOption,
    PathsArgument,
    RequestOption,
    SourceOption,
    TokenOption,
    ValuesOption,
    WorkloadOption,
)
from extauthz.cli.render import OutputFormat


def explain_request(
    paths: PathsArgument,
    request: RequestOption = None,
    method: MethodOption = None,
    path: PathOption = None,
    host: HostOption = None,
    header: HeaderOption = None,
    source: SourceOption = None,
    workload: WorkloadOption = None,
    token: TokenOption = None,
    claims: ClaimsOption = None,
    at: AtOption = None,
    values: ValuesOption = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print it.")] = OutputFormat.TEXT,
) -> int:
    """Decide one request and show why: each step, rule and part of a condition, and what would have allowed it.

    Exit 0 when the request is allowed, 2 when denied.

    Example: extauthz policy explain policies/shop --values policies/shop.values.yaml --path /orders/7
    --claims '{"sub": "carol", "roles": ["customer"]}'
    """
    flags = (request, method, path, host, header, source, workload, token, claims, at)
    return decide(paths, *flags, explain=True, values=values, output=output)
