import asyncio

from extauthz.app.process import ready_line
from extauthz.lowering.address import UnixAddress
from tests.harness.service import admin


def test_the_private_listener_may_be_a_unix_socket(place):
    """With everything on it."""

    async def main():
        async with place.service(admin=UnixAddress(str(place.folder / "admin.sock"))) as service:
            assert (await admin(service, "/v1/policy")).json()["name"] == "first"
            assert ready_line(service).endswith("probes at unix:" + str(place.folder / "admin.sock") + " /readyz")

    asyncio.run(main())


def test_the_line_of_a_service_that_answers_says_what_and_where(place):
    """For whoever started it: the policy, its revision, the addresses and the probe."""

    async def main():
        async with place.service() as service:
            return ready_line(service), service

    line, service = asyncio.run(main())
    revision = service.policy_set.revision
    assert line.endswith(
        f"serving policy first revision {revision} at {service.addresses[0]}; "
        f"probes at http://{service.admin_address}/readyz"
    )
