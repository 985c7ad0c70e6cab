"""OpenTelemetry's own configuration, read with care: the `OTEL_*` variables that traces and decision log share.

Its SDK says in Python's log what is wrong with a variable, where nobody looks, and goes on with a default; what does
not work is noticed at the first export, after decisions were made. So variables are checked at the start.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

# What the library would leave out with a warning that shows it: a name as in HTTP, a value of visible ASCII and spaces.
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+[ \t]*=[ !#-+\--:<-\[\]-~]*")
_COMPRESSIONS: Final = {"none", "gzip", "deflate"}
_PROTOCOLS: Final = {"http/json", "http/protobuf"}
"""Collectors take both at one port, so whoever says the second for everything means no other port either."""


class Signal(StrEnum):
    """What is sent, as in the names of the variables."""

    TRACES = "TRACES"
    LOGS = "LOGS"


def check_environment(signal: Signal) -> None:
    """Refuse variables of OTLP over HTTP that cannot be meant (OpenTelemetry Protocol Exporter, specification 1.x).

    Raises:
        ConfigurationError: a line for each. Values are not in it: an endpoint or a header may hold a password.
    """
    problems = list(_problems(signal))
    if problems:
        raise ConfigurationError("\n".join(problems))


def _problems(signal: Signal) -> Iterator[str]:
    name, value = _effective(signal, "ENDPOINT")
    if value and not _is_address(value):
        yield f"{name} is no address of a collector: write it as http://collector:4318"
    name, value = _effective(signal, "PROTOCOL")
    if value and value not in _PROTOCOLS:
        yield (
            f"{name} asks for another protocol than JSON over HTTP: set it to http/json, and the endpoint to the "
            "collector's port for HTTP, as in http://collector:4318"
        )
    name, value = _effective(signal, "HEADERS")
    if not all(_HEADER.fullmatch(item.strip()) for item in value.split(",") if item.strip()):
        yield f"{name} is no list of name=value, with commas between them and other characters as %XX"
    name, value = _effective(signal, "TIMEOUT")
    if value and not _is_duration(value):
        yield f"{name} is no time in seconds: write it as 10"
    name, value = _effective(signal, "COMPRESSION")
    if value and value.strip().lower() not in _COMPRESSIONS:
        yield f"{name} is not one of {', '.join(sorted(_COMPRESSIONS))}"
    for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
        name, value = _effective(signal, kind)
        if value and not (Path(value).is_file() and os.access(value, os.R_OK)):
            yield f"{name} names no file that can be read: name a PEM file"


def _effective(signal: Signal, kind: str) -> tuple[str, str]:
    """The variable that counts, and its value: that of the signal comes first, and an empty one is none."""
    own, shared = f"OTEL_EXPORTER_OTLP_{signal}_{kind}", f"OTEL_EXPORTER_OTLP_{kind}"
    name = own if os.environ.get(own) else shared
    return name, os.environ.get(name, "")


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and has_port


def _is_duration(value: str) -> bool:
    try:
        seconds = float(value)
    except ValueError:
        return False
    return math.isfinite(seconds) and seconds > 0


def service_resource() -> Resource:
    """What sends: `extauthz`, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say otherwise."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - the extra

    return Resource({"service.name": "extauthz"}).merge(OTELResourceDetector().detect())
