"""What is told: to the client that is denied, and to the access log.

An answer is a record of nine i32: whether it allows; the HTTP status; and texts: what the log says, the code's details,
the body before and after the id (0 for an empty body), the body for gRPC, the response's headers without and with the
body's type, each encoded as the host wants them.
"""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import (
    OK,
    load8,
    load32,
    proxy_send_local_response,
    proxy_set_property,
    stop,
    store32,
)
from extauthz.lowering.wasm.runtime.header import raw_header
from extauthz.lowering.wasm.runtime.layout import Cell, Word
from extauthz.lowering.wasm.runtime.memory import address_of, allocate, copy, is_text, length_of, make_text
from extauthz.lowering.wasm.runtime.upstream import joined

MAXIMUM_ID = 128


def is_plain_id(text: int) -> int:
    """Whether an id may stand in a body of any form: a client may have written it."""
    if length_of(text) > MAXIMUM_ID:
        return 0
    for offset in range(length_of(text)):
        character = load8(address_of(text) + offset)
        lower = character | 0x20
        is_letter = ord("a") <= lower <= ord("z")
        is_digit = ord("0") <= character <= ord("9")
        if not (is_letter or is_digit or character in {ord("-"), ord(".")}):
            return 0
    return 1


def request_id() -> int:
    """In the place of the decision's id, of which there is none."""
    value = raw_header(Word.REQUEST_ID)
    if value == 0:
        return Word.EMPTY
    return value if is_plain_id(value) else Word.EMPTY


def is_grpc() -> int:
    """Whether the client speaks gRPC: `application/grpc`, or that with a suffix after `+`."""
    value = raw_header(Word.CONTENT_TYPE)
    if value == 0 or length_of(value) < length_of(Word.GRPC):
        return 0
    if not is_text(address_of(value), length_of(Word.GRPC), Word.GRPC):
        return 0
    return length_of(value) == length_of(Word.GRPC) or load8(address_of(value) + length_of(Word.GRPC)) == ord("+")


def write_log(answer: int) -> int:
    """Write `effect reason route rule` where the next filter and the access log read it; 0 when the host has failed.

    Also of a request that is left, whose answer is 0: what stood there before must not count.
    """
    decision = load32(answer + 8) if answer != 0 else Word.UNDECIDED
    route = load32(Cell.ROUTE)
    policy = load32(Cell.POLICY)
    line = joined(joined(decision, Word.SPACE), route if route != 0 else Word.DASH)
    line = joined(joined(line, Word.SPACE), policy if policy != 0 else Word.DASH)
    key = Word.DECISION
    return proxy_set_property(address_of(key), length_of(key), address_of(line), length_of(line)) == OK


def merged(headers: int, more: int) -> int:
    """Encoded headers and more of them as one."""
    sizes = load32(address_of(headers)) << 3
    more_sizes = load32(address_of(more)) << 3
    target = allocate(length_of(headers) + length_of(more))
    store32(target, load32(address_of(headers)) + load32(address_of(more)))
    end = copy(address_of(headers) + 4, sizes, target + 4)
    end = copy(address_of(more) + 4, more_sizes, end)
    end = copy(address_of(headers) + 4 + sizes, length_of(headers) - 4 - sizes, end)
    end = copy(address_of(more) + 4 + more_sizes, length_of(more) - 4 - more_sizes, end)
    return make_text(target, end - target)


def readable(headers: int) -> int:
    """The response's headers, and those that let a script read it where its route lists the script's origin."""
    more = load32(Cell.READABLE)
    return headers if more == 0 else merged(headers, more)


def respond(answer: int, body: int, headers: int) -> None:
    """Answer the request; a module whose answer the host does not take stops, which denies, too."""
    details = load32(answer + 12)
    status = proxy_send_local_response(
        load32(answer + 4),
        address_of(details),
        length_of(details),
        address_of(body),
        length_of(body),
        address_of(headers),
        length_of(headers),
        -1,
    )
    if status != OK:
        stop()


def deny(answer: int) -> None:
    """Answer the request in the client's way."""
    if is_grpc():
        respond(answer, load32(answer + 24), readable(load32(answer + 28)))
        return
    before = load32(answer + 16)
    body = Word.EMPTY if before == 0 else joined(joined(before, request_id()), load32(answer + 20))
    respond(answer, body, readable(load32(answer + 32)))
