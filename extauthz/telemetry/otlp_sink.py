"""The decision log as log records of OpenTelemetry, sent as JSON over HTTP (the extra `otel`).

A record holds what a line holds, member for member, and its event is named `extauthz.decision`. Where records go is
configured by `OTEL_EXPORTER_OTLP_ENDPOINT` and the like. INVARIANT: records that a collector does not take are lost,
counted and told; nothing waits for it but the thread that writes.
"""

from __future__ import annotations

import datetime as dt
import errno
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from extauthz import __version__
from extauthz.errors import ConfigurationError
from extauthz.telemetry.otlp import Signal, check_environment, service_resource

EVENT_NAME: Final = "extauthz.decision"

# Severity numbers of the log data model: what could not be decided is an error, a denial is an answer like another.
_INFO: Final = (9, "INFO")
_ERROR: Final = (17, "ERROR")
_COULD_NOT_DECIDE: Final = 503

_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_SCOPE: Final = _to_json({"name": "extauthz", "version": __version__})


class OtlpSink:
    """Sends whole lines of the decision log; a `Sink`."""

    def __init__(self) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigurationError: the extra is not installed, or a variable is wrong.
        """
        check_environment(Signal.LOGS)
        try:
            from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter  # noqa: PLC0415
        except ImportError:
            raise ConfigurationError(
                "decision_log: otlp needs the extra: install it, as in pip install 'extauthz[otel]', or name a file"
            ) from None
        # What it would say of a failed export, `write` raises.
        theirs = logging.getLogger("opentelemetry.exporter.otlp.json.http._log_exporter")
        theirs.handlers, theirs.propagate = [logging.NullHandler()], False
        # Its own encoder takes 80 us a record, longer than a decision and in the interpreter that decides; ours takes
        # 15 us. So it is given the bytes: the exact version is pinned.
        self._client = OTLPLogExporter()._client  # noqa: SLF001
        attributes = [_attribute(name, value) for name, value in sorted(service_resource().attributes.items())]
        self._resource = _to_json({"attributes": attributes})

    def write(self, data: bytes) -> None:
        """As `Sink` says: send, and try again for as long as `OTEL_EXPORTER_OTLP_TIMEOUT` says."""
        result = self._client.export(self._encode(data))
        # Beyond 2xx the library counts as sent what was redirected, and nobody follows.
        if not result.success or (result.status_code or 0) >= 300:
            why = result.reason or str(result.error or "") or "no answer in time"
            status = "" if result.status_code is None else f"{result.status_code} "
            raise OSError(errno.EIO, f"the collector did not take it: {status}{why}")

    def close(self) -> None:
        self._client.shutdown()

    def _encode(self, data: bytes) -> bytes:
        """An ExportLogsServiceRequest (opentelemetry-proto, collector/logs/v1) in JSON."""
        # A record at a time: thousands of them as objects would keep the garbage collector busy.
        records = ",".join(_to_json(_record(json.loads(line))) for line in data.splitlines())
        scope = f'{{"scope":{_SCOPE},"logRecords":[{records}]}}'
        return f'{{"resourceLogs":[{{"resource":{self._resource},"scopeLogs":[{scope}]}}]}}'.encode()


def _record(line: Mapping[str, Any]) -> dict[str, Any]:
    number, text = _ERROR if line["status"] == _COULD_NOT_DECIDE else _INFO
    at = dt.datetime.fromisoformat(line["time"]).timestamp()
    nanoseconds = f"{round(at * 1000)}000000"
    return {
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": text,
        "eventName": EVENT_NAME,
        "body": {"stringValue": f"{line['effect']} {line['reason']}"},
        "attributes": [_attribute(f"extauthz.{name}", value) for name, value in line.items() if value is not None],
    }


def _attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": _any_value(value)}


def _any_value(value: Any) -> dict[str, Any]:
    """An AnyValue (opentelemetry-proto, common/v1); 64-bit integers are text in the JSON of protobuf."""
    match value:
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"arrayValue": {"values": [_any_value(each) for each in value]}}
