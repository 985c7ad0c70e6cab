from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from extauthz.lowering.address import TcpAddress
from extauthz.mesh.pod_environment import Scrape, read_environment
from extauthz.mesh.status_server import Readiness, build_status


@contextmanager
def serving(answers: dict[str, tuple[int, str]]) -> Iterator[TcpAddress]:
    """Answers by path; 404 for others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers.get(self.path, (404, ""))
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        try:
            yield TcpAddress("127.0.0.1", running.server_port)
        finally:
            running.shutdown()
            thread.join()


NOBODY = TcpAddress("127.0.0.1", 1)


def pod(**changes):
    """A pod on the loopback address."""
    return dataclasses.replace(read_environment({}), **changes)


def ask(readiness, path, **changes):
    """The answer of the status port."""

    async def get():
        transport = httpx.ASGITransport(build_status(pod(**changes), readiness))
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            return await client.get(path)

    return asyncio.run(get())


def test_ready_is_the_proxy_and_every_authorizer():
    """Any of them missing is told by its name; so is the end."""
    listeners = "".join(f"{name}::0.0.0.0:1\n" for name in ("inbound", "outbound", "health", "prometheus"))
    good = {"/ready": (200, "LIVE"), "/readyz": (200, "ok"), "/listeners": (200, listeners)}
    deaf = {**good, "/listeners": (200, listeners.replace("inbound", "other"))}
    with (
        serving(good) as both,
        serving({"/ready": (503, ""), "/readyz": (503, "")}) as neither,
        serving(deaf) as half,
    ):
        assert ask(Readiness(both, [both]), "/healthz/ready").status_code == 200
        for proxy, authorizer, said in [
            (neither, both, "not live"),
            (half, both, "does not listen (inbound)"),
            (both, neither, "is not ready"),
            (NOBODY, both, "no answer"),
        ]:
            answer = ask(Readiness(proxy, [authorizer]), "/healthz/ready")
            assert (answer.status_code, said in answer.text) == (503, True)
        draining = Readiness(both, [both])
        draining.is_draining = True
        assert ask(draining, "/healthz/ready").status_code == 503


def test_only_probes_that_were_written_down():
    """The path chooses among them; nothing else reaches the application."""
    with serving({"/r": (204, "")}) as application:
        probes = {"/app-health/app/readyz": {"httpGet": {"path": "/r", "port": application.port}}}
        probes["/app-lifecycle/app/prestopz"] = {"tcpSocket": {"port": 1}}
        readiness = Readiness(NOBODY, [])
        assert ask(readiness, "/app-health/app/readyz", probes=probes).status_code == 204
        assert ask(readiness, "/app-lifecycle/app/prestopz", probes=probes).status_code == 503
        for path in ("/app-health/app/livez", "/app-health/other/readyz", "/app-lifecycle/app/readyz", "/r"):
            assert ask(readiness, path, probes=probes).status_code == 404


def test_metrics_of_all():
    """One text; a part that cannot be had says so in it."""
    with (
        serving({"/stats/prometheus": (200, "proxy 1\n")}) as proxy,
        serving({"/metrics": (200, "authorizer 1\n")}) as authorizer,
        serving({"/own": (200, "application 1")}) as application,
    ):
        text = ask(Readiness(proxy, [authorizer]), "/stats/prometheus", scrape=Scrape(application.port, "/own")).text
        assert text == "proxy 1\nauthorizer 1\napplication 1\n"
        text = ask(Readiness(NOBODY, [proxy]), "/stats/prometheus").text
    lines = text.splitlines()
    assert lines[0].startswith("# the metrics of the proxy are missing: ")
    assert lines[1].endswith("are missing: status 404")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/quitquitquit"])
def test_nothing_else_is_served(path):
    """To whom the whole network is open."""
    assert ask(Readiness(NOBODY, []), path).status_code == 404
