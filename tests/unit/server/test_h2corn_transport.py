import asyncio

import pytest

from extauthz.lowering.address import TcpAddress
from extauthz.server.h2corn_transport import H2cornTransport
from extauthz.server.sockets import listen_all


def test_a_part_that_fails_ends_the_transport():
    """By its own exception, not by a group."""

    async def main():
        sockets = listen_all([TcpAddress("127.0.0.1", 0)])
        server = H2cornTransport({}, sockets, drain_timeout_seconds=1.0)

        async def fail():
            raise RuntimeError("a part failed")

        server._servers[0].run = fail  # type: ignore[method-assign]
        try:
            await server.run()
        finally:
            server.stop()

    with pytest.raises(RuntimeError, match="a part failed"):
        asyncio.run(main())
