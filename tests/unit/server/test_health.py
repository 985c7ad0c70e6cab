import asyncio

import pytest
from grpc_health.v1 import health_pb2

from extauthz.server.asgi import GrpcApplication
from extauthz.server.health import Health

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
    asyncio.run(GrpcApplication(Health(lambda: is_ready).methods)(scope, receive, send))
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


def test_watch_is_unimplemented():
    """Clients then poll, or give up."""
    assert ask("Watch", request("")) == (b"", b"12")


@pytest.mark.parametrize(
    "body",
    [b"\0\0\0\0\2\xff\xff", b"\0\0\0\x20\0", b"\1\0\0\0\0", b"\0\0\0\0\0x"],
    ids=["garbage", "huge", "gz", "two"],
)
def test_a_broken_request_has_a_status(body):
    """And no message."""
    reply, grpc_status = ask("Check", body)
    assert reply == b""
    assert grpc_status in {b"12", b"13"}


def test_a_caller_that_went_away_is_not_answered():
    """There is nobody to send to."""
    assert ask("Check", b"\0") == (b"", None)
