from __future__ import annotations

import json
import time
from http.server import ThreadingHTTPServer
from threading import Thread

from extauthz.lowering.address import TcpAddress
from extauthz.mesh.demo.application import SLOW_SECONDS, Application
from extauthz.mesh.local_http import get


def test_it_says_who_called():
    """As the proxy told it; and one path takes its time."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        address = TcpAddress("127.0.0.1", running.server_port)
        answer = get(address, "/a", headers={"x-forwarded-client-cert": "URI=spiffe://a/b"})
        started = time.monotonic()
        get(address, "/slow")
        took = time.monotonic() - started
        running.shutdown()
        thread.join()
    assert json.loads(answer.body) == {"path": "/a", "caller": "URI=spiffe://a/b"}
    assert took >= SLOW_SECONDS
