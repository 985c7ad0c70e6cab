import asyncio
import time

import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answerer
from extauthz.server.admission import Admission
from extauthz.server.asgi import GrpcApplication
from extauthz.server.check_method import CHECK_PATH, CheckLimits, CheckMethod
from extauthz.server.streams import Streams
from tests.strategies import make_policy_set, make_route


class CheckBench:
    """A Check method over a real answerer, and everything it reported."""

    def __init__(self):
        self.answerer = Answerer(build_snapshot(make_policy_set(make_route("/open")), KeySets(), VerifiedTokens()))
        self.observed = []
        self.failures = []
        self.needs = []
        self.fetch = self.fetched_at_once
        self.limits = CheckLimits(deadline_seconds=5.0, capacity=100)

    async def fetched_at_once(self, need):
        self.needs.append(need)

    def method(self):
        """Call it in a running loop."""

        async def fetch(need):
            await self.fetch(need)

        return CheckMethod(
            self.answerer,
            fetch=fetch,
            observe=lambda answer, answerer, seconds, _call: self.observed.append((answer, answerer, seconds)),
            on_failure=self.failures.append,
            admission=Admission(asyncio.get_running_loop(), capacity=100, monotonic=time.perf_counter),
            limits=self.limits,
            clock=lambda: 1_800_000_000.0,
            monotonic=time.perf_counter,
        )

    def application(self):
        return GrpcApplication({CHECK_PATH: self.method()}, Streams())


@pytest.fixture
def bench():
    return CheckBench()
