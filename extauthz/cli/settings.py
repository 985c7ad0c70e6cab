"""`extauthz settings`: what `extauthz serve` can be told."""

from __future__ import annotations

import typer

from extauthz.cli.render import print_json

settings_app = typer.Typer(name="settings", help="What the service can be told.", no_args_is_help=True)


@settings_app.callback()
def _settings() -> None:
    """Keeps `schema` a command of its own: typer would make the only one the whole program."""


@settings_app.command("schema")
def schema() -> None:
    """Print the JSON Schema of `serve --config` files, for editors (`# yaml-language-server: $schema=...`).

    Example: extauthz settings schema > settings.schema.json
    """
    from extauthz.settings import settings_schema

    print_json(settings_schema())
