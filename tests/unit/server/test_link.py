import asyncio
import socket
from contextlib import asynccontextmanager
from types import MappingProxyType

import pytest

from extauthz.server.link import Link, LinkClosedError, pack, unpack


class Echo:
    """Remembers what it is told, and answers with what it is asked; `"wait"` waits for `release`."""

    def __init__(self):
        self.heard = []
        self.release = asyncio.Event()
        self.cancelled = False

    def told(self, message):
        self.heard.append(message)

    async def called(self, message):
        if message == "wait":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if message == "fail":
            raise LookupError("a defect")
        return message


@asynccontextmanager
async def linked():
    """Two ends with their handlers, running."""
    ours, theirs = [await Link.over(each) for each in socket.socketpair()]
    handlers = Echo(), Echo()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(end.run(handler)) for end, handler in zip((ours, theirs), handlers, strict=True)]
        yield ours, theirs, *handlers
        ours.close()
        theirs.close()
        await asyncio.wait(running)


def test_messages_arrive_in_order():
    """Large ones too, and replies among them: whoever is answered knows what was told before."""

    async def main():
        async with linked() as (ours, _, _, their_handler):
            sent = [1, "x" * 3_000_000, {"a": (1, 2)}, None]
            for message in sent:
                ours.tell(message)
            assert await ours.call("ask") == "ask"
            assert their_handler.heard == sent

    asyncio.run(main())


def test_calls_do_not_wait_for_each_other():
    """In both directions at once."""

    async def main():
        async with linked() as (ours, theirs, _, their_handler):
            slow = asyncio.ensure_future(ours.call("wait"))
            assert await ours.call("quick") == "quick"
            assert await theirs.call("back") == "back"
            assert not slow.done()
            their_handler.release.set()
            assert await slow == "wait"

    asyncio.run(main())


def test_whoever_gives_up_harms_nobody():
    """The late answer is dropped."""

    async def main():
        async with linked() as (ours, _, _, their_handler):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await ours.call("wait")
            their_handler.release.set()
            assert await ours.call("next") == "next"

    asyncio.run(main())


def test_the_other_ends_death_is_an_error_for_whoever_waits():
    """And for whoever calls after it; telling is lost. What that end was asked to do is given up."""

    async def main():
        async with linked() as (ours, theirs, _, their_handler):
            waiting = asyncio.ensure_future(ours.call("wait"))
            await ours.call("both arrived")
            theirs.close()
            with pytest.raises(LinkClosedError):
                await waiting
            with pytest.raises(LinkClosedError):
                await ours.call("too late")
            ours.tell("lost")
            ours.close()
        assert their_handler.cancelled
        assert their_handler.heard == []

    asyncio.run(main())


def test_a_frame_cut_short_is_the_end():
    """A process that is killed while it writes has said nothing of it."""

    async def main():
        ours, theirs = socket.socketpair()
        link, handler = await Link.over(ours), Echo()
        theirs.sendall(b"\0\0\0\x09half")
        theirs.close()
        await link.run(handler)
        assert handler.heard == []
        link.close()

    asyncio.run(main())


def test_what_is_told_before_finishing_arrives():
    """Though the other end is saying things itself: last counts are not lost."""

    async def main():
        async with linked() as (ours, theirs, our_handler, their_handler):
            ours.tell("x" * 1_000_000)
            finishing = asyncio.ensure_future(ours.finish())
            theirs.tell("y" * 1_000_000)
            await finishing
            with pytest.raises(LinkClosedError):
                await theirs.call("wait")
            assert [len(each) for each in their_handler.heard] == [1_000_000]
            assert [len(each) for each in our_handler.heard] == [1_000_000]

    asyncio.run(main())


async def fail_on_call():
    ours, theirs = [await Link.over(each) for each in socket.socketpair()]
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(theirs.run(Echo()))
            tasks.create_task(ours.run(Echo()))
            await ours.call("fail")
    finally:
        ours.close()
        theirs.close()


def test_a_defect_of_a_handler_ends_the_link():
    """It is not answered with something that looks like an answer."""
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(fail_on_call())
    assert caught.group_contains(LookupError)


def test_read_only_maps_are_packed():
    """At any depth; they stay read-only."""
    packed = pack({"a": [MappingProxyType({"b": MappingProxyType({"c": 1})})]})
    unpacked = unpack(packed)
    assert unpacked == {"a": [{"b": {"c": 1}}]}
    assert type(unpacked["a"][0]["b"]) is MappingProxyType
