"""A client of a proxy in a container."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

UNAVAILABLE = 503
"""How Envoy answers, as configured, what nobody could decide."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is published on loopback, and whom its certificate is verified by; clear text when None."""

    port: int
    context: ssl.SSLContext | None = None

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> int | None:
        """The status of a GET on a connection of its own, or None when no answer came."""
        try:
            return self.fetch(path, headers)[0]
        except (OSError, http.client.HTTPException):
            return None

    def decided(self, path: str, headers: Mapping[str, str] | None = None) -> int | None:
        """As `get`, asked again while nobody could decide: on a busy machine time may run out."""
        for _ in range(_ATTEMPTS - 1):
            status = self.get(path, headers)
            if status != UNAVAILABLE:
                return status
            time.sleep(0.2)
        return self.get(path, headers)

    def fetch(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a GET on a connection of its own.

        Raises:
            OSError: nobody answers, or not over TLS as it should be.
            HTTPException: what answers is not HTTP.
        """
        connection = (
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            if self.context is None
            else http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context)
        )
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
