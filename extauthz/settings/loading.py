"""From flags, `EXTAUTHZ_*` and the --config file to settings, or to every problem at once.

One line each, naming the flag, variable or file that it came from; a secret's value is never in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from extauthz.errors import ConfigurationError
from extauthz.languages.policy_yaml.nodes import plain_value
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report, did_you_mean
from extauthz.settings.tree import ENVIRONMENT_PREFIX, Settings

# Kubernetes puts variables for every service of the namespace into every container; a service called `extauthz`, or
# `extauthz-admin`, makes them look like settings (kubernetes.io, "Discovering services", environment variables).
_SERVICE_LINK = re.compile(
    r"([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_LINK_PORT = re.compile(r"([A-Z0-9_]+_)?PORT")
_SERVICE_LINK_URL = re.compile(r"(tcp|udp|sctp)://.*")

_INNER_MESSAGES: Final = {"missing": "is missing", "extra_forbidden": "unknown key"}
"""In place of pydantic's words, within a map."""

_NOT_SETTINGS: Final = frozenset({"CONFIG", "REQUIRE", "REFRESH_GOLDEN"})
"""--config itself, and what the project's own test suite reads."""


_OF_POLICY_SETS: Final = ("listen", "paths")
"""What OPA's own configuration and command say in a drop-in."""


def load_settings(flags: Mapping[str, object], config_file: str | None = None) -> Settings:
    """Merge flags, environment, file and defaults.

    Args:
        flags: what was given on the command line, by setting.
        config_file: --config; without it, `EXTAUTHZ_CONFIG`.

    Raises:
        ConfigurationError: a line for each problem.
    """
    config_file = config_file or os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    from_file = _read_config(config_file) if config_file else {}
    from_environment = EnvSettingsSource(Settings)()
    if "opa_config" in flags:  # the command is OPA's: what an image sets for policy sets is not meant
        from_environment = {name: value for name, value in from_environment.items() if name not in _OF_POLICY_SETS}
    origins = {
        **dict.fromkeys(from_file, str(config_file)),
        **{name: _variable(name) for name in from_environment},
        **{name: _flag(name) for name in flags},
    }
    problems = [*_unknown_variables(), *_unknown_keys(from_file, str(config_file))]
    known = {name: value for name, value in from_file.items() if name in Settings.model_fields}
    try:
        given = {**known, **from_environment, **flags}
        if "opa_config" in given:  # whose bundles may be all there is
            given.setdefault("paths", ())
        settings = Settings(**given)
    except ValidationError as error:
        problems += [_describe(details, origins) for details in error.errors(include_url=False, include_input=False)]
    else:
        if not problems:
            return settings
    raise ConfigurationError("\n".join(problems))


def _read_config(path: str) -> dict[str, Any]:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--config {path}: {error.strerror}: name a YAML file that can be read") from None
    report = Report()
    node = read_document(path, content, report)
    if report.has_errors or node is None:
        found = report.diagnostics([] if node is None else [node])
        raise ConfigurationError("\n".join(f"{finding.span}: {finding.message}" for finding in found))
    value = plain_value(node)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: settings are a YAML map, as in `decision_log: stdout`")
    return value


def _unknown_keys(from_file: Mapping[str, object], path: str) -> Iterator[str]:
    for name in from_file:
        if name not in Settings.model_fields:
            yield f"{path}: unknown setting '{name}': {_hint(name, Settings.model_fields)}"


def _unknown_variables() -> Iterator[str]:
    """Variables of ours that set nothing: a misspelt setting must not be silently off."""
    for variable, value in sorted(os.environ.items()):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or name in _NOT_SETTINGS or name.lower() in Settings.model_fields:
            continue
        if _SERVICE_LINK.fullmatch(name) or (_SERVICE_LINK_PORT.fullmatch(name) and _SERVICE_LINK_URL.match(value)):
            continue
        yield f"{variable}: unknown setting: {_hint(variable, [_variable(each) for each in Settings.model_fields])}"


def _hint(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known) or "`extauthz serve --print-config` shows all of them"


def _variable(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


def _describe(details: ErrorDetails, origins: Mapping[str, str]) -> str:
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return message  # it names the settings itself
    name, *inner = map(str, details["loc"])
    if inner and not inner[-1].isdigit():  # within a map, not an item of a list
        message = f"{'.'.join(inner)}: {_INNER_MESSAGES.get(details['type'], message)}"
    elif details["type"] == "missing":
        return f"{_flag(name)} is missing: name at least one policy file or folder"
    origin = origins.get(name, name)
    return f"{origin}: {name}: {message}" if origin == name or "/" in origin else f"{origin}: {message}"


def _flag(name: str) -> str:
    return "PATH" if name == "paths" else f"--{name.replace('_', '-')}"
