"""One request as flags describe it, as the CheckRequest that Envoy would send for it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from extauthz.check.capture import message_from_json
from extauthz.errors import ConfigurationError, RequestMalformedError

# RFC 9110 section 5.6.2: a token, which methods and field names are.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was given on the command line."""

    method: str
    path: str
    """Path and query."""
    host: str
    headers: Sequence[tuple[str, str]]
    source: str | None
    """The client's address."""
    workload: str | None
    """The URI SAN of the client's certificate."""


def parse_header(text: str) -> tuple[str, str]:
    """`Name: value` as a lower-case name and its value.

    Raises:
        ConfigurationError: no name, or characters that no field holds; the message does not repeat the value.
    """
    name, colon, value = text.partition(":")
    if not colon or _TOKEN.fullmatch(name) is None:
        raise ConfigurationError("--header: write it as 'name: value'")
    if any(ord(character) < 0x20 and character != "\t" for character in value):
        raise ConfigurationError(f"--header {name}: a value holds no line breaks or control characters")
    if name.lower() == "host":
        raise ConfigurationError("--header host: use --host")
    return name.lower(), value.strip(" \t")


def check_request_of(sample: Sample, now: float) -> bytes:
    """The serialised CheckRequest, headers in the raw form of `encode_raw_headers`.

    Raises:
        ConfigurationError: a flag holds what no request can.
    """
    if _TOKEN.fullmatch(sample.method) is None:
        raise ConfigurationError(f"--method {sample.method!r}: this is no HTTP method")
    pseudo = [(":method", sample.method), (":path", sample.path), (":authority", sample.host), (":scheme", "http")]
    source: dict[str, object] = {}
    if sample.source is not None:
        source["address"] = {"socketAddress": {"address": sample.source, "portValue": 0}}
    if sample.workload is not None:
        source["principal"] = sample.workload
    document = {
        "attributes": {
            "source": source,
            "request": {
                "time": datetime.fromtimestamp(now, UTC).isoformat(),
                "http": {
                    "method": sample.method,
                    "path": sample.path,
                    "host": sample.host,
                    "scheme": "http",
                    "protocol": "HTTP/1.1",
                    "headerMap": {"headers": [_raw_header(name, value) for name, value in (*pseudo, *sample.headers)]},
                },
            },
        }
    }
    try:
        return message_from_json(json.dumps(document).encode())
    except RequestMalformedError as error:  # text that is not UTF-8: Envoy could not send it either
        raise ConfigurationError(f"the request cannot be sent: {error}") from error


def _raw_header(name: str, value: str) -> dict[str, str]:
    raw = value.encode("utf-8", "surrogateescape")  # as the shell gave it, whatever its encoding
    return {"key": name, "rawValue": base64.b64encode(raw).decode()}


def read_captured(content: bytes, file: str) -> bytes:
    """A captured CheckRequest as serialised bytes, from its JSON form or as it is.

    Raises:
        ConfigurationError: it looks like JSON and is no CheckRequest.
    """
    if not content.lstrip().startswith(b"{"):
        return content
    try:
        return message_from_json(content)
    except RequestMalformedError as error:
        # A serialised CheckRequest begins with its first field's tag, which is a line feed in ASCII.
        if content.startswith(b"\n"):
            return content
        raise ConfigurationError(f"--request {file}: {error}") from error


def parse_time(text: str) -> float:
    """`--at` as seconds since the epoch.

    Raises:
        ConfigurationError: neither RFC 3339 with an offset nor epoch seconds.
    """
    try:
        if re.fullmatch(r"[0-9]{1,11}(\.[0-9]+)?", text):
            return float(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and moment.timestamp() >= 0:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass  # said below, together with a time without an offset
    raise ConfigurationError(f"--at {text!r}: write it as 2026-01-31T12:00:00Z, or as seconds since the epoch")
