from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import json
import os
import signal
import socket
import ssl
import time
from threading import Thread
from typing import cast

import pytest

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.mesh.authority import open_authority
from extauthz.mesh.control import Control, ServiceSource, own_credentials, run_control
from extauthz.server.sockets import bound_by_others
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from extauthz.xds.catalogue import Catalogue
from extauthz.xds.server import DiscoveryServer

NOW = 1_800_000_000.0
ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"


def services(port):
    return json.dumps({"services": {"orders": {"tls": "none", "endpoints": [f"10.0.0.1:{port}"]}}})


@pytest.fixture
def control(tmp_path):
    """All its files."""
    (tmp_path / "services.yaml").write_text(services(80))
    nodes = {"nodes": [{"token_sha256": hashlib.sha256(b"x").hexdigest(), "identity": ORDERS}]}
    (tmp_path / "nodes.yaml").write_text(json.dumps(nodes))
    return Control(
        registry=tmp_path / "services.yaml",
        nodes=tmp_path / "nodes.yaml",
        authority=tmp_path / "ca",
        trust_domain="cluster.local",
        listen=UnixAddress(str(tmp_path / "control.sock")),
        docker=None,
        certificate_seconds=100.0,
    )


def logger(log):
    return build_logger(log, log_format=LogFormat.JSON, level=LogLevel.INFO)


def test_the_last_good_services_stay(control):
    """A file that cannot be read is told once, and changes nothing; a good one is taken."""
    log = io.StringIO()
    source = ServiceSource(control, logger(log))
    assert not source.refresh()
    control.registry.write_text("services: 1")
    for _ in range(3):
        assert not source.refresh()
    assert log.getvalue().count("services_incomplete") == 1
    assert source.current.services["orders"].endpoints[0].port == 80
    control.registry.write_text(services(81))
    assert source.refresh()
    assert source.current.services["orders"].endpoints[0].port == 81


def test_nothing_starts_without_services(control):
    """The first reading must be good."""
    control.registry.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ServiceSource(control, logger(io.StringIO()))


def test_a_docker_that_does_not_answer_ends_the_start(control, tmp_path):
    """It was asked for by name."""
    with pytest.raises(EnvironmentUnfitError, match="no answer"):
        ServiceSource(dataclasses.replace(control, docker=UnixAddress(str(tmp_path / "none"))), logger(io.StringIO()))


def test_it_serves_until_it_is_told_to_end(control, capfd):
    """It says where, and leaves nothing behind; SIGTERM is no failure."""

    def stop():
        while "extauthz mesh control at" not in capfd.readouterr().err:
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    thread = Thread(target=stop)
    thread.start()
    run_control(control, logger(io.StringIO()), lambda: NOW)
    thread.join()
    assert not os.path.exists(control.listen.path)  # noqa: PTH110 - a text
    assert (control.authority / "ca.pem").exists()


def test_its_own_certificate_is_renewed(tmp_path):
    """A connection after the renewal sees another one, of the same identity."""
    started = time.time()  # noqa: TID251 - TLS looks at the real clock
    clock = [started]
    authority = open_authority(tmp_path / "ca", "cluster.local", lifetime_seconds=100, now=started)
    identity = "spiffe://cluster.local/extauthz/control"

    def shown(address):
        context = ssl.create_default_context(cadata=authority.certificate)
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((address.host, address.port)) as plain,
            context.wrap_socket(plain) as secured,
        ):
            found = secured.getpeercert()
            assert found is not None
            return found["serialNumber"], found["subjectAltName"]

    async def scenario():
        credentials = own_credentials(authority, identity, lambda: clock[0])
        server = DiscoveryServer(cast("Catalogue", None), bound_by_others, credentials=credentials)
        async with server.serving(TcpAddress("127.0.0.1", 0)) as address:
            first = await asyncio.to_thread(shown, address)
            again = await asyncio.to_thread(shown, address)
            clock[0] += 51
            renewed = await asyncio.to_thread(shown, address)
        return first, again, renewed

    first, again, renewed = asyncio.run(scenario())
    assert first == again
    assert renewed[0] != first[0]
    assert renewed[1] == first[1] == (("URI", identity),)
