import asyncio

import pytest

from extauthz.app.key_sets import key_set_state
from extauthz.authn.keyset import Phase
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.telemetry.status import KeySetState
from tests.harness.service import GUARDED, admin, check, mint


@pytest.mark.parametrize(
    ("phase", "usable", "state"),
    [
        (Phase.FRESH, True, KeySetState.CURRENT),
        (Phase.REFRESHING, True, KeySetState.CURRENT),
        (Phase.STALE, True, KeySetState.STALE),
        (Phase.COOLING, True, KeySetState.STALE),
        (Phase.REFRESHING, False, KeySetState.MISSING),
        (Phase.COOLING, False, KeySetState.MISSING),
        (Phase.MISSING, False, KeySetState.MISSING),
    ],
)
def test_what_a_key_set_is_for_requests(phase, usable, state):
    """Whether its tokens can be verified comes first."""
    assert key_set_state(phase, usable=usable) is state


def test_a_token_is_verified_by_keys_fetched_from_its_issuer(place):
    """The first request waits for them, if they are not there yet."""

    async def main(issuer):
        async with place.service() as service:
            for token, code in [(mint(issuer), 0), ("x.y.z", 16)]:
                assert (await check(service, "/guarded", authorization=f"Bearer {token}")).status.code == code
            assert (await admin(service, "/readyz")).json()["key_sets"]["corp"]["state"] == "current"
            assert "extauthz_token_verifications_total 1.0" in (await admin(service, "/metrics")).text

    with DevelopmentIssuer() as issuer:
        place.write(GUARDED.format(issuer=issuer.url))
        asyncio.run(main(issuer))


def test_an_issuer_that_cannot_be_reached_holds_up_nobody_else(place):
    """Its tokens get could-not-decide, a probe names it, everything else works."""
    with DevelopmentIssuer() as issuer:
        token = mint(issuer)
    place.write(GUARDED.format(issuer=issuer.url))

    async def main():
        async with place.service() as service:
            assert (await check(service, "/open")).status.code == 0
            reply = await check(service, "/guarded", authorization=f"Bearer {token}")
            assert (reply.status.code, reply.denied_response.status.code) == (7, 503)
            await place.logged("key_set_failed")
            ready = (await admin(service, "/readyz")).json()
            assert (ready["ready"], ready["degraded"]) == (True, ["key_set:corp"])
            assert ready["key_sets"]["corp"]["failures"] >= 1
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_key_set_fetch_failures_total{provider="corp"}' in metrics

    asyncio.run(main())


def test_workers_get_keys_that_one_process_fetches(place):
    """And those that replace them."""

    async def main(issuer):
        async with place.service(workers=2) as service:
            await place.logged("key_set_fetched")
            for _ in range(6):
                reply = await check(service, "/guarded", authorization=f"Bearer {mint(issuer)}")
                assert reply.status.code == 0
            assert (await admin(service, "/readyz")).json()["key_sets"]["corp"]["state"] == "current"

    with DevelopmentIssuer() as issuer:
        place.write(GUARDED.format(issuer=issuer.url))
        asyncio.run(main(issuer))
