"""A client of a proxy in a container."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass


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
