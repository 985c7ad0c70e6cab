"""The example of a drop-in for opa-envoy-plugin does what it says."""

import asyncio
import base64
from pathlib import Path

import pytest

from extauthz.app.opa_service import OpaService
from extauthz.lowering.address import TcpAddress
from extauthz.settings import Settings
from tests.harness.grpc_check import Client

FOLDER = Path(__file__).parents[2] / "policies" / "opa-envoy"
ANY_PORT = TcpAddress("127.0.0.1", 0)


async def ask(path, user):
    settings = Settings(
        paths=(str(FOLDER),),
        opa_config=str(FOLDER / "config.json"),
        listen=(ANY_PORT,),
        admin=ANY_PORT,
        log_level="error",
    )
    headers = {} if user is None else {"authorization": "Basic " + base64.b64encode(f"{user}:x".encode()).decode()}
    async with OpaService(settings) as service, Client(service.addresses[0]) as client:
        return await client.check(path, **headers)


@pytest.mark.parametrize(
    ("path", "user", "status"),
    [
        ("/healthz", None, 200),
        ("/orders", None, 401),
        ("/orders", "ann", 200),
        ("/orders/1", "bob", 200),
        ("/orders", "eve", 403),
        ("/invoices", "ann", 403),
    ],
)
def test_the_example(path, user, status, capfd):
    """Who is known reads orders; the upstream learns the caller, and not the credential."""
    response = asyncio.run(ask(path, user))
    assert (response.status.code, response.denied_response.status.code) == ((0, 0) if status == 200 else (7, status))
    if user and status == 200:
        (option,) = response.ok_response.headers
        assert (option.header.key, option.header.value) == ("x-user", user)
        assert list(response.ok_response.headers_to_remove) == ["authorization"]
    assert capfd.readouterr().err.count('"Decision Log"') == 1
