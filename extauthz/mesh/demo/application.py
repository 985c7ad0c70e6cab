"""The demo's application: says who called, as the proxy tells it; /slow takes its time. Run with a port."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

SLOW_SECONDS: Final = 0.7


class Application(BaseHTTPRequestHandler):
    """HTTP/1.1."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/slow":
            time.sleep(SLOW_SECONDS)
        said = {"path": self.path, "caller": self.headers.get("x-forwarded-client-cert")}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """The proxies log already."""


def serve(port: int) -> None:
    """Until it is killed."""
    ThreadingHTTPServer(("", port), Application).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
