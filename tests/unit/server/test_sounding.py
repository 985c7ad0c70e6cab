import asyncio

import pytest

from extauthz.server.sounding import EVERY_SECONDS, Sounding


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def sound(sounding, over):
    async with sounding.taken(over):
        pass


async def lasts(clock, seconds):
    """The end of a call, so long after its answer."""
    await asyncio.sleep(0)
    clock.now += seconds


async def ends(event):
    await event.wait()


def test_a_sounding_tells_how_long_it_took(clock):
    """Before the first there is nothing to tell."""
    sounding = Sounding(clock)
    assert sounding.delay(clock()) == 0.0
    asyncio.run(sound(sounding, lasts(clock, 0.25)))
    assert sounding.delay(clock() + 9.0) == 0.25


def test_one_under_way_tells_what_it_has_taken_so_far(clock):
    """If that is more than the latest: a queue that does not move is a long one."""

    async def main():
        sounding = Sounding(clock)
        await sound(sounding, lasts(clock, 0.25))
        clock.now += 2 * EVERY_SECONDS
        over = asyncio.Event()
        taking = asyncio.ensure_future(sound(sounding, ends(over)))
        await asyncio.sleep(0)
        assert not sounding.is_due()
        assert sounding.delay(clock() + 0.1) == 0.25
        assert sounding.delay(clock() + 0.5) == 0.5
        over.set()
        await taking
        assert sounding.delay(clock()) == 0.0

    asyncio.run(main())


def test_soundings_are_spaced(clock):
    """Each holds a call."""
    sounding = Sounding(clock)
    assert sounding.is_due()
    asyncio.run(sound(sounding, lasts(clock, 0.25)))
    assert not sounding.is_due()
    clock.now += 2 * EVERY_SECONDS
    assert sounding.is_due()


def test_a_call_that_goes_away_ends_its_sounding(clock):
    """Else there would never be another."""

    async def main():
        sounding = Sounding(clock)
        taking = asyncio.ensure_future(sound(sounding, ends(asyncio.Event())))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        clock.now += 2 * EVERY_SECONDS
        assert sounding.is_due()

    asyncio.run(main())


def test_the_end_is_waited_for_from_before_the_answer(clock):
    """An end that comes before anybody waits for it takes no time, however long others wait."""
    seen = []

    async def over():
        seen.append("waits")

    async def main():
        async with Sounding(clock).taken(over()):
            seen.append("answers")

    asyncio.run(main())
    assert seen == ["waits", "answers"]
