"""`extauthz mesh`: the proxy beside an application, and its way into a pod."""

from __future__ import annotations

import typer

from extauthz.cli import mesh_control, mesh_sidecar
from extauthz.cli.mesh_demo import demo
from extauthz.cli.mesh_init import init
from extauthz.cli.mesh_inject import inject_file, serve_webhook, write_manifests

mesh_app = typer.Typer(
    name="mesh", help="Put the proxy beside an application: capture traffic, inject, run.", no_args_is_help=True
)
mesh_app.command("init")(init)
mesh_app.command("inject")(inject_file)
mesh_app.command("webhook")(serve_webhook)
mesh_app.command("manifests")(write_manifests)
mesh_app.command("sidecar")(mesh_sidecar.run)
mesh_app.command("control")(mesh_control.run)
mesh_app.command("demo")(demo)
