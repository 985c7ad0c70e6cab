"""A collector: takes spans and log records by OTLP over HTTP, in JSON."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collector:
    """At a loopback port, while it is entered."""

    def __init__(self):
        received = self.received = []
        self.statuses: list[int] = []
        """What the next requests are answered with, first to last; 200 when there are none."""
        statuses = self.statuses

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = statuses.pop(0) if statuses else 200
                if status == 200:
                    received.append((self.path, self.headers["content-type"], json.loads(body)))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def spans(self):
        """All that were sent so far, as JSON."""
        assert {(path, content_type) for path, content_type, _ in self.received} <= {("/v1/traces", "application/json")}
        return [
            span
            for _, _, body in self.received
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def records(self):
        """Log records that were sent so far, as JSON."""
        assert {(path, content_type) for path, content_type, _ in self.received} <= {("/v1/logs", "application/json")}
        return [
            record
            for _, _, body in self.received
            for resource in body["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
