"""`extauthz policy explain`: why a request is decided as it is."""

from __future__ import annotations

from typing import Annotated

import typer

from extauthz.cli.decide import print_answer
from extauthz.cli.options import PathsArgument, RequestFlags, ValuesOption, with_request_flags
from extauthz.cli.render import OutputFormat


@with_request_flags
def explain_request(
    paths: PathsArgument,
    flags: RequestFlags,
    values: ValuesOption = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print it.")] = OutputFormat.TEXT,
) -> int:
    """Decide one request and show why: each step, rule and part of a condition, and what would have allowed it.

    Exit 0 when the request is allowed, 2 when denied.

    Example: extauthz policy explain policies/shop --values policies/shop.values.yaml --path /orders/7
    --claims '{"sub": "carol", "roles": ["customer"]}'
    """
    return print_answer(paths, values, flags, output, explain=True)
