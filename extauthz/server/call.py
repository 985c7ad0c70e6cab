"""One unary gRPC call, whichever transport carries it: what methods are written against.

A transport reads and sends; a method decides what. Neither knows the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Protocol, TypeAlias


class GrpcStatus(IntEnum):
    """The status codes that a transport itself answers with (google/rpc/code.proto)."""

    OK = 0
    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    INTERNAL = 13


class CallError(Exception):
    """A call that breaks the protocol; answered with a status and no message."""

    def __init__(self, status: GrpcStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class MessageTooLargeError(Exception):
    """A message whose announced length is beyond the limit; nothing of it is kept."""


class ClientGoneError(Exception):
    """The stream was closed before its message was whole; nobody waits for an answer."""


class Call(Protocol):
    """A call, from the side of the method that answers it: by exactly one `reply` or one `refuse`."""

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

    def reply(self, message: bytes) -> Awaitable[None]:
        """Answer with one message and status OK."""

    def refuse(self, status: GrpcStatus, message: str) -> Awaitable[None]:
        """Answer with a status and no message."""


UnaryMethod: TypeAlias = Callable[[Call], Awaitable[None]]
"""Answers calls. Raises nothing but the cancellation of its task."""
