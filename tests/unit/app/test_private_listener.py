import asyncio
import ssl

import httpx
import pytest

from extauthz.app.private_listener import admin_credential_files, probe_url
from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.settings import Settings
from extauthz.tls import CredentialFiles
from tests.harness.service import ANY_PORT, Certificates, admin, check

EVERYWHERE = TcpAddress("0.0.0.0", 0)


def test_off_loopback_policy_and_decisions_are_for_certified_callers(place):
    """Probes and metrics are for anybody; nothing is said in clear text."""
    certificates = Certificates(place.folder)

    async def main():
        async with place.service(admin=EVERYWHERE, **certificates.admin_settings) as service:
            for path, status in [("/readyz", 200), ("/metrics", 200), ("/v1/policy", 403), ("/v1/openapi.json", 403)]:
                assert (await admin(service, path, certificates.anonymous)).status_code == status
                assert (await admin(service, path, certificates.certified)).status_code == 200
            with pytest.raises(httpx.TransportError):
                await admin(service, "/readyz")
            metrics = (await admin(service, "/metrics", certificates.anonymous)).text
            assert 'extauthz_certificate_last_load_successful{listener="admin"} 1.0' in metrics
            assert (await check(service, "/first")).status.code == 0, "calls stay in clear text"

    asyncio.run(main())


def test_a_certificate_of_others_is_turned_away(place):
    """In the handshake, even where none is needed."""
    certificates = Certificates(place.folder)
    (place.folder / "others").mkdir()
    others = Certificates(place.folder / "others")
    context = certificates.anonymous
    context.load_cert_chain(others.own)

    async def main():
        async with place.service(admin=EVERYWHERE, **certificates.admin_settings) as service:
            with pytest.raises((httpx.TransportError, ssl.SSLError)):
                await admin(service, "/readyz", context)

    asyncio.run(main())


def test_its_certificate_is_replaced_while_it_serves(place):
    """A broken one is told, and the last one stays."""
    certificates = Certificates(place.folder)

    async def serial(service):
        address = service.admin_address
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", address.port, ssl=certificates.anonymous, server_hostname="localhost"
        )
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        del reader
        return ssl.DER_cert_to_PEM_cert(shown)

    async def main():
        async with place.service(**certificates.admin_settings) as service:
            first = await serial(service)
            certificates.renew()
            await place.logged("certificate_loaded", 2)
            second = await serial(service)
            assert second != first
            certificates.own.write_text("no certificate")
            await place.logged("certificate_load_failed")
            assert await serial(service) == second
            ready = (await admin(service, "/readyz", certificates.anonymous)).json()
            assert (ready["ready"], ready["degraded"]) == (True, ["certificate_reload"])

    asyncio.run(main())


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(place):
    """And nothing listens."""
    certificates = Certificates(place.folder)
    certificates.own.write_text("no certificate")
    unix = UnixAddress(str(place.folder / "x.sock"))

    async def main():
        async with place.service(listen=(unix,), **certificates.admin_settings):
            pytest.fail("served")

    with pytest.raises(ConfigurationError, match=r"own\.pem holds no certificate"):
        asyncio.run(main())
    assert not (place.folder / "x.sock").exists()


@pytest.mark.parametrize(
    ("given", "address", "url"),
    [
        ({}, TcpAddress("127.0.0.1", 9180), "http://127.0.0.1:9180/readyz"),
        ({"admin_tls_cert": "a", "admin_tls_key": "b"}, TcpAddress("127.0.0.1", 1), "https://127.0.0.1:1/readyz"),
        ({}, UnixAddress("/run/x.sock"), "unix:/run/x.sock /readyz"),
    ],
)
def test_where_to_ask_whether_it_is_ready(given, address, url):
    """As people would type it."""
    assert probe_url(Settings(paths=("policy",), admin=ANY_PORT, **given), address) == url


def test_its_files_are_its_own():
    """Those of the calls are others."""
    settings = Settings(paths=("p",), admin_tls_cert="a", admin_tls_key="b", admin_client_ca="c")
    assert admin_credential_files(settings) == CredentialFiles("a", "b", "c")
    assert admin_credential_files(Settings(paths=("p",), tls_cert="a", tls_key="b")) is None
