"""One gRPC call, whichever transport carries it: what methods are written against.

A transport reads and sends; a method decides what. Neither knows the other. The caller sends one message; a unary
method answers with one, a streaming method with any number.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias


class GrpcStatus(IntEnum):
    """The status codes that calls are answered with (google/rpc/code.proto)."""

    OK = 0
    UNKNOWN = 2
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CallError(Exception):
    """A call that breaks the protocol; answered with a status and no message."""

    def __init__(self, status: GrpcStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class MessageTooLargeError(Exception):
    """A message whose announced length is beyond the limit; nothing of it is kept."""


class ClientGoneError(Exception):
    """The stream was closed before its message was whole; nobody waits for an answer."""


class Question(Protocol):
    """What a call asks, and how."""

    def granted_seconds(self) -> float | None:
        """The time that the caller still gives, from its grpc-timeout; None when it did not say."""

    def metadata(self, name: str) -> str | None:
        """The call's metadata of this lower-case name, which is no binary one; None when there is none."""

    def read(self, max_bytes: int) -> Awaitable[bytes]:
        """The call's one message.

        Raises:
            CallError: it breaks the protocol.
            MessageTooLargeError: it has more than `max_bytes`.
            ClientGoneError: it will never be whole.
        """


class Call(Question, Protocol):
    """A unary call, from the side of the method that answers it: by exactly one `reply` or one `refuse`."""

    def reply(self, message: bytes) -> Awaitable[None]:
        """Answer with one message and status OK."""

    def refuse(self, status: GrpcStatus, message: str) -> Awaitable[None]:
        """Answer with a status and no message."""

    def over(self) -> Coroutine[None, None, None]:
        """Wait, from before the answer, until the transport tells that the call is over, in turn with new calls.

        At once where what arrives does not wait in a queue of the transport's.
        """


UnaryMethod: TypeAlias = Callable[[Call], Awaitable[None]]
"""Answers calls. Raises nothing but the cancellation of its task."""


@dataclass(frozen=True, slots=True)
class StreamingMethod:
    """Answers each call with the messages that a generator yields, and status OK once it ends.

    The generator is cancelled when the caller goes, and when the transport stops. It raises nothing of its own but
    `CallError`, whose status ends the call, and `ClientGoneError`.
    """

    answer: Callable[[Question], AsyncGenerator[bytes, None]]


Methods: TypeAlias = Mapping[str, UnaryMethod | StreamingMethod]
"""By path, `/package.Service/Method`."""
