"""The references in docs/ are what the code says: the commands, and the settings of the service.

EXTAUTHZ_REFRESH_GOLDEN=1 (`make golden`) writes them anew; the difference is to be read before it is committed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from extauthz.cli import app
from extauthz.envoy_audit.codes import RULES
from extauthz.settings import ENVIRONMENT_PREFIX, settings_schema

DOCS = Path(__file__).parents[2] / "docs"
_HEAD = "Generated from the code by `make golden`: change it there.\n"


def commands(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """A command and all below it, each with its context."""
    yield command, context
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from commands(below, below.context_class(below, info_name=name, parent=context))


def cell(text: str) -> str:
    """A text in a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def table(records: list[tuple[str, str]]) -> Iterator[str]:
    """Names and meanings."""
    if records:
        yield "| | |\n|-|-|\n" + "".join(f"| `{cell(name)}` | {cell(meaning)} |\n" for name, meaning in records)


def prose(text: str) -> Iterator[str]:
    """The paragraphs of a help text; the example as code."""
    for paragraph in text.split("\n\n"):
        joined = " ".join(paragraph.split())
        example = joined.removeprefix("Example: ")
        yield f"{joined}\n" if example == joined else f"```console\n$ {example}\n```\n"


def cli_reference() -> str:
    """Every command."""
    root = typer.main.get_command(app)
    parts = ["# Commands\n", _HEAD]
    parts.append(
        "Exit codes: 0 ok; 1 the environment (network, port, permission); 2 a negative answer (denied, test failed, "
        "difference found); 3 wrong input (policy, flags, settings, tests), usage errors included.\n"
    )
    for command, context in commands(root, root.context_class(root, info_name="extauthz")):
        parts.append(f"## `{context.command_path}`\n")
        parts += prose(command.help or "")
        records = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
        parts += table([record for record in records if record[0] != "--help"])
        below = sorted(getattr(command, "commands", {}))
        if below:
            parts.append("Commands: " + ", ".join(f"`{name}`" for name in below) + ".\n")
    return "\n".join(parts)


def settings_reference() -> str:
    """Every setting."""
    schema: Any = settings_schema()
    parts = ["# Settings of the service\n", _HEAD]
    parts.append(
        f"A flag of `extauthz serve` wins over its variable, that over the file of `--config` (YAML). A variable is "
        f"called {ENVIRONMENT_PREFIX} and the setting's name in capitals.\n"
    )
    rows = [(name, described(member, schema)) for name, member in schema["properties"].items()]
    parts += table(rows)
    for name, definition in sorted(schema.get("$defs", {}).items()):
        if "properties" in definition:
            parts.append(f"## {name}\n\n{definition.get('description', '')}\n")
            parts += table([(inner, described(member, schema)) for inner, member in definition["properties"].items()])
    return "\n".join(parts)


def described(member: Any, schema: Any) -> str:
    """What a setting means and what it is when it is not given."""
    meaning = member.get("description", "")
    references = re.findall(r"#/\$defs/(\w+)", str(member))
    kinds = [f"see {name}" for name in references if "properties" in schema["$defs"][name]]
    words = [str(word) for name in references for word in schema["$defs"][name].get("enum", ())]
    words += [str(word) for word in member.get("enum", ())]
    notes = [*kinds, *([f"one of {', '.join(words)}"] if words else [])]
    if member.get("default") is not None:
        given = member["default"]
        default = given if isinstance(given, list) else [given]
        notes.append(f"default {', '.join(word if isinstance(word, str) else json.dumps(word) for word in default)}")
    return f"{meaning} ({'; '.join(notes)})" if notes else meaning


def audit_reference() -> str:
    """Every rule about Envoy's configuration."""
    parts = ["# Rules of `extauthz envoy audit`\n", _HEAD]
    parts.append(
        "An error lets requests past authorization; a warning makes it likelier that something else does. "
        "`--ignore EAEnnn` leaves a rule out. Measured on Envoy 1.40.0.\n"
    )
    for rule in RULES:
        parts.append(f"## {rule.code}: {rule.title}\n\n{rule.severity.capitalize()}. {' '.join(rule.why.split())}\n")
        parts += [
            f"{title}\n\n```yaml\n{text.rstrip()}\n```\n" for title, text in (("Not", rule.wrong), ("But", rule.right))
        ]
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("name", "text"),
    [("cli.md", cli_reference), ("settings.md", settings_reference), ("envoy-audit.md", audit_reference)],
)
def test_reference_is_what_the_code_says(name, text):
    """A flag or setting that was added, changed or removed is there, or is not."""
    if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") == "1":
        (DOCS / name).write_text(text(), encoding="utf-8")
    assert text() == (DOCS / name).read_text(encoding="utf-8")
