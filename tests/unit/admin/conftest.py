import asyncio

import httpx
import pytest

from extauthz.admin.application import Guards, build_admin
from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answerer
from extauthz.model.source import Diagnostic, Severity, Span
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.status import KeySetState, KeySetStatus, ServedPolicy, ServiceStatus
from extauthz.telemetry.tally import DecisionCounter
from tests.strategies import make_policy_set, make_route


class Listener:
    """The private listener's application over a real answerer."""

    def __init__(self):
        warning = Diagnostic(Span("policy.yaml", 3, 5), "EAZ900", "be careful", Severity.WARNING)
        policy_set = make_policy_set(make_route("/open"), make_route("/a/{x}", host="*.h.example", methods=["GET"]))
        self.key_sets = {"corp": KeySetStatus(KeySetState.CURRENT, fetched_at=900.0, failures=0)}
        self.status = ServiceStatus(
            read_key_sets=lambda: self.key_sets, policy=ServedPolicy(policy_set, (warning,), loaded_at=1_800_000_000.0)
        )
        self.counter = DecisionCounter()
        self.metrics = ServiceMetrics(self.status, clock=lambda: 1000.0, tally=lambda: self.counter.tally)
        self._answerer = Answerer(build_snapshot(policy_set, KeySets(), VerifiedTokens()))
        self.serves_api = True
        self.serves_opa_health = False
        self.guards = Guards(checks_host=True, checks_certificate=False)

    async def decide(self, message):
        return self._answerer.answer(message, 1_800_000_000.0)

    def application(self):
        decide = self.decide if self.serves_api else None
        return build_admin(
            self.status, self.metrics, decide, guards=self.guards, serves_opa_health=self.serves_opa_health
        )

    def request(self, method, path, **options):
        application = self.application()

        async def main():
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9180") as client:
                return await client.request(method, path, **options)

        return asyncio.run(main())


@pytest.fixture
def listener():
    return Listener()
