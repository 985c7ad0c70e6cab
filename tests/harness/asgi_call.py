"""A call to an ASGI application, as h2corn would hand it over, and what came back."""

from __future__ import annotations

import asyncio

from envoy.service.auth.v3 import external_auth_pb2

from extauthz.server.check_method import CHECK_PATH

GRPC = {b"content-type": b"application/grpc", b"te": b"trailers"}


def check_message(path="/open"):
    message = external_auth_pb2.CheckRequest()
    message.attributes.request.http.method = "GET"
    message.attributes.request.http.path = path
    message.attributes.request.http.host = "shop.example"
    return message.SerializeToString()


def frame(message, flag=0):
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


class Reply:
    """What a call got back."""

    def __init__(self, events):
        start = events[0]
        self.http_status = start["status"]
        trailers = next((e["headers"] for e in events if e["type"] == "http.response.trailers"), start["headers"])
        self.metadata = dict(trailers)
        self.grpc_status = self.metadata.get(b"grpc-status")
        self.body = b"".join(e.get("body", b"") for e in events)

    @property
    def response(self):
        assert (self.http_status, self.grpc_status) == (200, b"0")
        return external_auth_pb2.CheckResponse.FromString(self.body[5:])

    @property
    def denied(self):
        """The HTTP status of a denial that nothing turns into an allow."""
        assert self.response.status.code == 7
        assert self.response.WhichOneof("http_response") == "denied_response"
        return self.response.denied_response.status.code


async def call_application(application, body, *, path=CHECK_PATH, method="POST", headers=GRPC, end_after_seconds=0.0):
    """One call, its body in one part unless given as a list of parts; whoever waits for its end waits so long."""
    parts = body if isinstance(body, list) else [body]
    pending = [{"type": "http.request", "body": part, "more_body": True} for part in parts] + [{"type": "http.request"}]
    events = []

    async def receive():
        if pending:
            return pending.pop(0)
        await asyncio.sleep(end_after_seconds)
        return {"type": "http.disconnect"}

    async def send(event):
        events.append(event)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers.items())}
    await application(scope, receive, send)
    return Reply(events)
