"""The operator's settings: flags, then `EXTAUTHZ_*`, then the --config file, then defaults."""

from extauthz.settings.loading import load_settings
from extauthz.settings.schema import render_settings, settings_schema
from extauthz.settings.tree import (
    ENVIRONMENT_PREFIX,
    EngineSettings,
    OpaSettings,
    Settings,
    Unavailable,
    is_private,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "EngineSettings",
    "OpaSettings",
    "Settings",
    "Unavailable",
    "is_private",
    "load_settings",
    "render_settings",
    "settings_schema",
]
