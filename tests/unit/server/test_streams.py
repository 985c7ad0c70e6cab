import asyncio
import contextlib

import pytest

from extauthz.server.call import CallError, GrpcStatus
from extauthz.server.streams import MAX_STREAMS, Streams


async def last(streams):
    """Be a stream without an end of its own; the status that it was ended with."""
    with pytest.raises(CallError) as caught:
        async with streams.opened():
            await asyncio.Event().wait()
    return caught.value.status


def test_streams_end_together():
    """Those that are open when the server stops, and those that are opened after."""

    async def main():
        streams = Streams()
        open_ones = [asyncio.ensure_future(last(streams)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in open_ones)
        streams.end()
        async with asyncio.timeout(5):
            return await asyncio.gather(*open_ones, last(streams))

    assert asyncio.run(main()) == [GrpcStatus.UNAVAILABLE] * 4


def test_a_stream_that_ends_by_itself_makes_room():
    """Only so many are open at once; the next is told."""

    async def main():
        streams = Streams()
        async with contextlib.AsyncExitStack() as crowd:
            for _ in range(MAX_STREAMS - 1):
                await crowd.enter_async_context(streams.opened())
            async with streams.opened():
                assert await last(streams) is GrpcStatus.RESOURCE_EXHAUSTED
            async with streams.opened():
                pass

    asyncio.run(main())


def test_whoever_is_cancelled_is_cancelled():
    """A caller that goes is no server that stops."""

    async def main():
        streams = Streams()
        stream = asyncio.ensure_future(last(streams))
        await asyncio.sleep(0)
        stream.cancel()
        await asyncio.wait([stream])
        return stream.cancelled()

    assert asyncio.run(main())
