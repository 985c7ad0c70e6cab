import asyncio

import pytest

from extauthz.server.call import CallError, ClientGoneError, GrpcStatus, MessageTooLargeError
from extauthz.server.grpc_wire import (
    Event,
    parse_timeout,
    read_message,
    send_http_status,
    send_message,
    send_status,
)


def frame(message: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    return bytes([flag]) + (len(message) if length is None else length).to_bytes(4, "big") + message


def read(*events, max_bytes=100):
    """The message that these ASGI events hold, and how many of them were taken."""
    pending = list(events)

    async def receive():
        return pending.pop(0)

    message = asyncio.run(read_message(receive, max_bytes))
    return message, len(events) - len(pending)


def body(data: bytes, *, more: bool = True) -> Event:
    return {"type": "http.request", "body": data, "more_body": more}


END = {"type": "http.request"}
GONE = {"type": "http.disconnect"}


def test_a_message_in_one_part_is_read_without_waiting_for_the_end():
    """The usual case."""
    assert read(body(frame(b"hello")), END) == (b"hello", 1)
    assert read(body(frame(b"")), END) == (b"", 1)


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_message_may_be_cut_anywhere(cut):
    """The prefix, too."""
    data = frame(b"hello")
    assert read(body(data[:cut]), body(data[cut:]), END) == (b"hello", 2)
    assert (
        read({"type": "http.request", "more_body": True}, body(data[:cut]), body(data[cut:], more=False))[0] == b"hello"
    )


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([body(frame(b"hello", flag=1)), END], GrpcStatus.UNIMPLEMENTED),
        ([body(frame(b"hello", length=6)), END], GrpcStatus.INTERNAL),
        ([body(frame(b"hello") + b"x"), END], GrpcStatus.INTERNAL),
        ([body(frame(b"a") + frame(b"b")), END], GrpcStatus.INTERNAL),
        ([body(b"\0\0"), END], GrpcStatus.INTERNAL),
        ([body(b"", more=False)], GrpcStatus.INTERNAL),
    ],
)
def test_broken_framing_has_a_status(events, status):
    """Compression is unsupported, everything else is the caller's bug."""
    with pytest.raises(CallError) as caught:
        read(*events)
    assert caught.value.status is status


@pytest.mark.parametrize("events", [[body(frame(b"", length=101))], [body(b"\0\0\0\0"), body(b"\x65")]])
def test_a_message_beyond_the_limit_is_told_by_its_prefix(events):
    """Nothing of it needs to have arrived."""
    with pytest.raises(MessageTooLargeError):
        read(*events)
    with pytest.raises(MessageTooLargeError):
        read(body(frame(b"x" * 101)))
    assert read(body(frame(b"x" * 100)))[0] == b"x" * 100


@pytest.mark.parametrize("events", [[GONE], [body(b"\0"), GONE], [body(frame(b"hello", length=9)), GONE]])
def test_a_closed_stream_has_nobody_to_answer(events):
    """Whatever had arrived."""
    with pytest.raises(ClientGoneError):
        read(*events)


def sent(coroutine_of_send):
    events = []

    async def send(event):
        events.append(event)

    asyncio.run(coroutine_of_send(send))
    return events


def test_a_reply_is_framed_and_its_status_is_in_the_trailers():
    """HEADERS, DATA, trailers."""
    start, data, trailers = sent(lambda send: send_message(send, b"reply"))
    assert (start["status"], start["trailers"]) == (200, True)
    assert (b"content-type", b"application/grpc") in start["headers"]
    assert data["body"] == frame(b"reply")
    assert trailers["headers"] == [(b"grpc-status", b"0")]


def test_a_status_alone_is_in_the_headers():
    """And its message cannot break them."""
    start, end = sent(lambda send: send_status(send, GrpcStatus.UNIMPLEMENTED, "no\r\nx: 1 100% ü"))
    headers = dict(start["headers"])
    assert "trailers" not in start
    assert headers[b"grpc-status"] == b"12"
    assert headers[b"grpc-message"] == b"no%0D%0Ax: 1 100%25 %C3%BC"
    assert not end.get("body")


def test_what_is_no_call_gets_an_http_status():
    """Without a body."""
    start, end = sent(lambda send: send_http_status(send, 415))
    assert start["status"] == 415
    assert not end.get("body")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"200m", 0.2),
        (b"150000u", 0.15),
        (b"1n", 1e-9),
        (b"99999999S", 99999999.0),
        (b"123456789S", None),
        (b"-1S", None),
        (b"1.5S", None),
        (b"1s", None),
        (b" 1S", None),
        (b"S", None),
        (b"", None),
        ("\N{ARABIC-INDIC DIGIT ONE}S".encode(), None),
    ],
)
def test_timeouts_are_read_as_the_protocol_says(value, seconds):
    """At most eight digits and a unit; anything else grants nothing."""
    assert parse_timeout(value) == (None if seconds is None else pytest.approx(seconds))
