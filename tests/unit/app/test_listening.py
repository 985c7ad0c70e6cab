import asyncio
import socket
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from extauthz.app.process import ready_line
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from tests.harness.service import ANY_PORT, admin, check, health


def test_requests_are_decided_on_every_address(place):
    """TCP and Unix socket, and the private listener tells of it."""
    listen = (ANY_PORT, UnixAddress(str(place.folder / "x.sock")))

    async def main():
        async with place.service(listen=listen) as service:
            for index in range(2):
                assert (await check(service, "/first", index=index)).status.code == 0
                assert (await check(service, "/other", index=index)).status.code == 16
            assert await health(service) == health_pb2.HealthCheckResponse.SERVING
            assert (await admin(service, "/readyz")).json()["policy"]["name"] == "first"
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_decisions_total{effect="allow",reason="allowed",route="open"} 2.0' in metrics
            line = ready_line(service)
            assert line.startswith("extauthz 0.1.0 serving policy first revision ")
            assert f" at {service.addresses[0]}, unix:{place.folder}/x.sock; probes at http://127.0.0.1:" in line
        assert not (place.folder / "x.sock").exists()

    asyncio.run(main())


@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
def test_every_transport_serves_the_same(place, transport):
    """At every address, with health beside it, and the metrics count alike."""
    listen = (ANY_PORT, UnixAddress(str(place.folder / "x.sock")))

    async def main():
        async with place.service(listen=listen, transport=transport) as service:
            for index in range(2):
                assert (await check(service, "/first", index=index)).status.code == 0
                assert (await check(service, "/other", index=index)).status.code == 16
            assert await health(service) == health_pb2.HealthCheckResponse.SERVING
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_decisions_total{effect="allow",reason="allowed",route="open"} 2.0' in metrics
            assert ready_line(service).count(str(place.folder / "x.sock")) == 1
            service.report_not_ready()
            assert await health(service) == health_pb2.HealthCheckResponse.NOT_SERVING

    asyncio.run(main())


@pytest.mark.parametrize("which", ["listen", "admin"])
def test_an_address_in_use_is_told(place, which):
    """And what was bound before it is closed again."""
    unix = UnixAddress(str(place.folder / "x.sock"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        settings = {"listen": (unix, address)} if which == "listen" else {"listen": (unix,), "admin": address}

        async def main():
            async with place.service(**settings):
                pytest.fail("served")

        with pytest.raises(EnvironmentUnfitError, match="another process listens there"):
            asyncio.run(main())
    assert not Path(unix.path).exists()
