import asyncio
import json
from pathlib import Path

import grpc
import pytest

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import UnixAddress
from tests.harness.service import ANY_PORT, Certificates, admin, check


@pytest.mark.parametrize(("transport", "workers"), [("h2corn", 1), ("h2corn", 2), ("grpcio", 1)])
def test_certificates_are_served_and_replaced(place, transport, workers):
    """Callers without one are turned away; a new one is taken over, a broken one is told and the last one stays."""
    certificates = Certificates(place.folder)

    async def main():
        async with place.service(transport=transport, workers=workers, **certificates.settings) as service:
            (address,) = service.addresses
            await certificates.check(address)
            with pytest.raises(grpc.aio.AioRpcError):
                await check(service, "/first")
            certificates.renew()
            await place.logged("certificate_loaded", 2)
            await certificates.check(address)
            certificates.own.write_text("no certificate")
            await place.logged("certificate_load_failed")
            await certificates.check(address)
            assert (await admin(service, "/readyz")).json()["degraded"] == ["certificate_reload"]
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_certificate_last_load_successful{listener="calls"} 0.0' in metrics
            assert 'extauthz_certificate_expiry_timestamp_seconds{listener="calls"} ' in metrics
            certificates.renew()
            await place.logged("certificate_loaded", 3)
            assert (await admin(service, "/readyz")).json()["degraded"] == []

    asyncio.run(main())
    serials = [line["serial"] for line in map(json.loads, place.log.getvalue().splitlines()) if "serial" in line]
    assert len(set(serials)) == 3
    (failed,) = [line for line in place.log.getvalue().splitlines() if "certificate_load_failed" in line]
    assert "own.pem holds no certificate" in failed


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(place):
    """And nothing listens."""
    certificates = Certificates(place.folder)
    certificates.own.write_text("no certificate")
    unix = UnixAddress(str(place.folder / "x.sock"))

    async def main():
        async with place.service(listen=(unix, ANY_PORT), **certificates.settings):
            pytest.fail("served")

    with pytest.raises(ConfigurationError, match=r"own\.pem holds no certificate in PEM"):
        asyncio.run(main())
    assert not Path(unix.path).exists()


def test_a_key_that_everybody_can_read_is_warned_about(place):
    """It is served: secrets are often mounted like that."""
    certificates = Certificates(place.folder)
    certificates.own.chmod(0o644)

    async def main():
        async with place.service(**certificates.settings) as service:
            await certificates.check(service.addresses[0])

    asyncio.run(main())
    assert place.events().count("key_exposed") == 1
