"""Settings to read: the JSON Schema of --config files, and the settings that result as such a file."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr

from extauthz.settings.tree import Settings


def settings_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a settings file, for editors.

    It holds shape only: what must fit together is checked by reading it. Nothing is required of the file: flags and
    variables may say the rest.
    """
    schema = Settings.model_json_schema()
    del schema["required"]
    # As they are written, not as they are held: an address is one text.
    defaults = Settings(paths=("policy",)).model_dump(mode="json", exclude={"paths"})
    for name, described in schema["properties"].items():
        described["description"] = Settings.model_fields[name].description
        if name in defaults:
            described["default"] = defaults[name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "extauthz settings"}


def render_settings(settings: Settings) -> str:
    """The settings as a YAML file that would give them again; secrets are left out."""
    lines = []
    for name, value in settings.model_dump(mode="json").items():
        is_secret = isinstance(getattr(settings, name), SecretStr)
        lines.append(f"# {Settings.model_fields[name].description}")
        lines.append(f"# {name}: (set, not shown)" if is_secret else f"{name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
