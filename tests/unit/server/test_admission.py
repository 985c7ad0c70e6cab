import asyncio
import itertools

from extauthz.server.admission import (
    CROWDED_SECONDS,
    FULL_BATCH,
    LONG_PART,
    RESUMED_WHEN_FULL,
    Admission,
)


class Crowd:
    """Requests that arrive in rounds of one event loop, on a clock of ours; each waits for `unseen` seconds before."""

    def __init__(self, *, capacity=1000, patience=1.0, budget=0.3, unseen=1.0):
        self.now = 0.0
        self.patience = patience
        self.budget = budget
        self.unseen = unseen
        self.numbers = itertools.count()
        self.let_in: list[int] = []
        self.refused: list[int] = []
        self.admission = Admission(asyncio.get_running_loop(), capacity=capacity, monotonic=lambda: self.now)
        self.tasks = []

    async def request(self, budget):
        number = next(self.numbers)
        until = self.now + self.patience
        entered = self.admission.enters_at_once(budget) or await self.admission.wait(self.now, until)
        (self.let_in if entered else self.refused).append(number)
        if self.admission.wants_sounding():
            async with self.admission.sounded(self.over()):
                pass

    async def over(self):
        until = self.now + self.unseen
        while self.now < until:  # noqa: ASYNC110 - rounds move the clock
            await asyncio.sleep(0)

    async def round(self, arrivals, *, seconds=CROWDED_SECONDS, budgets=()):
        """One time around the loop: so many requests arrive, the first with these budgets, and so much time passes."""
        given = [*budgets, *[self.budget] * (arrivals - len(budgets))]
        self.tasks += [asyncio.get_running_loop().create_task(self.request(each)) for each in given]
        self.now += seconds
        await asyncio.sleep(0)

    async def crowd(self):
        """Batches are full, until the first is parked."""
        while not self.admission.is_crowded:
            await self.round(FULL_BATCH)
        await self.round(FULL_BATCH)

    async def quiet(self):
        """Nobody else comes, until nobody waits any more."""
        while self.admission.is_crowded or self.admission.parked:
            await self.round(0, seconds=0.0)
        await asyncio.sleep(0)


def run(scenario, **options):
    async def main():
        crowd = Crowd(**options)
        await scenario(crowd)
        for task in crowd.tasks:
            task.cancel()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)
        return crowd

    return asyncio.run(main())


def test_without_a_crowd_everybody_enters_at_once():
    """However many there are in time."""

    async def scenario(crowd):
        for _ in range(100):
            await crowd.round(FULL_BATCH - 1)

    crowd = run(scenario)
    assert crowd.let_in == list(range(100 * (FULL_BATCH - 1)))
    assert crowd.refused == []


def test_a_burst_is_no_crowd():
    """Full batches count only once they have lasted."""

    async def scenario(crowd):
        for _ in range(10):
            await crowd.round(FULL_BATCH, seconds=CROWDED_SECONDS / 2)
            await crowd.round(1)

    assert len(run(scenario).let_in) == 10 * (FULL_BATCH + 1)


def test_a_crowd_that_is_through_in_time_is_not_parked():
    """Full batches alone cost nobody anything: what arrives waits only shortly."""

    async def scenario(crowd):
        for _ in range(100):
            await crowd.round(FULL_BATCH)
        assert not crowd.admission.is_crowded
        crowd.unseen = 1.0
        await crowd.crowd()

    assert run(scenario, unseen=0.3 * LONG_PART / 2).refused == []


def test_what_is_long_is_told_by_the_shortest_time_that_a_request_has():
    """A caller that gives less time is to be answered in time as well."""

    async def scenario(crowd):
        for _ in range(20):
            await crowd.round(FULL_BATCH)
        assert not crowd.admission.is_crowded
        while not crowd.admission.is_crowded:
            await crowd.round(FULL_BATCH, budgets=[0.3])

    run(scenario, budget=60.0)


def test_a_crowd_that_shrinks_is_parked_no_longer():
    """As soon as who waits will be through in time, newcomers enter at once."""

    async def scenario(crowd):
        await crowd.crowd()
        for _ in range(3):
            await crowd.round(FULL_BATCH, seconds=0.0)
        while crowd.admission.is_crowded:
            await crowd.round(1, seconds=0.0)
        assert crowd.admission.parked

    run(scenario, unseen=10.0)


def test_in_a_crowd_the_oldest_enter_first_and_a_few_each_round():
    """While the others are parked, and more keep coming."""

    async def scenario(crowd):
        await crowd.crowd()
        entered = len(crowd.let_in)
        for _ in range(10):
            await crowd.round(FULL_BATCH)
        assert 8 * RESUMED_WHEN_FULL <= len(crowd.let_in) - entered <= 10 * RESUMED_WHEN_FULL

    crowd = run(scenario, patience=100.0)
    assert crowd.let_in == list(range(len(crowd.let_in)))
    assert crowd.refused == []


def test_whoever_waited_too_long_is_refused():
    """An answer after the proxy has given up is none."""

    async def scenario(crowd):
        await crowd.crowd()
        await crowd.round(0, seconds=2.0)
        await crowd.quiet()

    crowd = run(scenario, patience=1.0)
    assert len(crowd.refused) >= FULL_BATCH - RESUMED_WHEN_FULL
    assert len(crowd.refused) + len(crowd.let_in) == len(crowd.tasks)


def test_a_full_room_refuses_at_once():
    """Memory is bounded, whatever arrives."""

    async def scenario(crowd):
        await crowd.crowd()
        assert len(crowd.refused) >= FULL_BATCH - 10

    run(scenario, capacity=10)


def test_when_the_crowd_has_gone_all_is_as_before():
    """Everybody who waited has entered, and newcomers do at once."""

    async def scenario(crowd):
        await crowd.crowd()
        assert crowd.admission.parked > FULL_BATCH / 2
        await crowd.quiet()
        assert crowd.admission.parked == 0
        assert len(crowd.let_in) == len(crowd.tasks)
        await crowd.round(1)
        assert len(crowd.let_in) == len(crowd.tasks)

    assert run(scenario).refused == []


def test_a_caller_that_went_away_takes_no_turn():
    """Nor does its going hold up the others."""

    async def scenario(crowd):
        await crowd.crowd()
        for task in crowd.tasks[-10:]:
            task.cancel()
        await crowd.quiet()
        assert len(crowd.let_in) == len(crowd.tasks) - 10

    run(scenario)
