import asyncio

import pytest

from extauthz.server.asgi import AsgiCall
from tests.harness.asgi_call import GRPC, call_application, check_message, frame


def call(bench, body=None, **request):
    async def main():
        return await call_application(bench.application(), frame(check_message()) if body is None else body, **request)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "http_status", "grpc_status"),
    [
        ({"path": "/envoy.service.auth.v3.Authorization/Chek"}, 200, b"12"),
        ({"path": "/"}, 200, b"12"),
        ({"method": "GET"}, 405, None),
        ({"headers": {**GRPC, b"content-type": b"application/json"}}, 415, None),
        ({"headers": {**GRPC, b"content-type": b"application/grpc-web"}}, 415, None),
        ({"headers": {b"te": b"trailers"}}, 415, None),
        ({"headers": {b"content-type": b"application/grpc"}}, 200, b"13"),
    ],
)
def test_what_is_no_check_is_refused_as_grpc_says(bench, request_, http_status, grpc_status):
    """And never as an empty reply, which would be an allow."""
    reply = call(bench, **request_)
    assert (reply.http_status, reply.grpc_status) == (http_status, grpc_status)
    assert reply.body == b""
    assert bench.observed == []


def test_the_subtype_of_protobuf_is_grpc(bench):
    """Clients may name the encoding."""
    reply = call(bench, headers={**GRPC, b"content-type": b"application/grpc+proto"})
    assert reply.response.status.code == 0


def test_metadata_is_read_by_name():
    """What is not there is None; bytes that are no text are no failure."""

    async def unused(*_):
        raise AssertionError("nothing is received or sent")

    asgi_call = AsgiCall({b"traceparent": b"00-x", b"x": b"\xff"}, unused, unused)
    assert (asgi_call.metadata("traceparent"), asgi_call.metadata("tracestate")) == ("00-x", None)
    assert asgi_call.metadata("x") == "\xff"
