import asyncio

import pytest
from grpc_health.v1 import health_pb2

from extauthz.server.asgi import GrpcApplication
from extauthz.server.health import Health
from extauthz.server.streams import Streams

HEADERS = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
STATUS = health_pb2.HealthCheckResponse


def ask(method, body, *, is_ready=True):
    """The reply's message and the status."""
    events = []
    pending = [{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return pending.pop(0)

    async def send(event):
        events.append(event)

    scope = {"type": "http", "method": "POST", "path": f"/grpc.health.v1.Health/{method}", "headers": HEADERS}
    asyncio.run(GrpcApplication(Health(lambda: is_ready).methods, Streams())(scope, receive, send))
    headers = dict(header for event in events for header in event.get("headers", []))
    return b"".join(event.get("body", b"") for event in events), headers.get(b"grpc-status")


def request(service):
    message = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize("service", ["", "envoy.service.auth.v3.Authorization"])
@pytest.mark.parametrize(("is_ready", "status"), [(True, STATUS.SERVING), (False, STATUS.NOT_SERVING)])
def test_check_tells_whether_requests_are_decided(service, is_ready, status):
    """For the server as a whole and for the one service."""
    reply, grpc_status = ask("Check", request(service), is_ready=is_ready)
    assert grpc_status == b"0"
    assert health_pb2.HealthCheckResponse.FromString(reply[5:]).status == status


def test_an_unknown_service_is_not_found():
    """As the protocol says."""
    assert ask("Check", request("other")) == (b"", b"5")


@pytest.mark.parametrize("method", ["Check", "Watch"])
@pytest.mark.parametrize(
    "body",
    [b"\0\0\0\0\2\xff\xff", b"\0\0\0\x20\0", b"\1\0\0\0\0", b"\0\0\0\0\0x"],
    ids=["garbage", "huge", "gz", "two"],
)
def test_a_broken_request_has_a_status(method, body):
    """And no message."""
    reply, grpc_status = ask(method, body)
    assert reply == b""
    assert grpc_status in {b"12", b"13"}


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_a_caller_that_went_away_is_not_answered(method):
    """There is nobody to send to."""
    assert ask(method, b"\0") == (b"", None)


class Watched:
    """What a watcher was told, beside a service whose state the test sets."""

    def __init__(self, service):
        self.is_ready = False
        self.health = Health(lambda: self.is_ready)
        self._message = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        self._messages = self.health.watch(self)

    def granted_seconds(self):
        return None

    def metadata(self, _name):
        return None

    async def read(self, _max_bytes):
        return self._message

    def become(self, *, ready):
        self.is_ready = ready
        self.health.announce()

    async def told(self):
        async with asyncio.timeout(5):
            return STATUS.FromString(await anext(self._messages)).status

    async def is_told_nothing(self):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(self._messages)
        return True


@pytest.mark.parametrize("service", ["", "envoy.service.auth.v3.Authorization"])
def test_watch_tells_the_state_at_once_and_each_change(service):
    """What does not change the state is not told."""

    async def main():
        watched = Watched(service)
        assert await watched.told() == STATUS.NOT_SERVING
        watched.become(ready=True)
        assert await watched.told() == STATUS.SERVING
        watched.become(ready=True)
        watched.become(ready=False)
        assert await watched.told() == STATUS.NOT_SERVING
        watched.become(ready=False)
        assert await watched.is_told_nothing()

    asyncio.run(main())


def test_a_change_is_told_that_happens_while_the_state_before_is_on_its_way():
    """It is not lost between the two."""

    async def main():
        watched = Watched("")
        await watched.told()  # and the watcher does not yet wait again
        watched.become(ready=True)
        assert await watched.told() == STATUS.SERVING

    asyncio.run(main())


def test_watching_an_unknown_service_goes_on():
    """It is told once that it is unknown, whatever happens to the others."""

    async def main():
        watched = Watched("other")
        assert await watched.told() == STATUS.SERVICE_UNKNOWN
        watched.become(ready=True)
        assert await watched.is_told_nothing()

    asyncio.run(main())
