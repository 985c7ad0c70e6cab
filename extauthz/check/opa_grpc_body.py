"""The bodies of gRPC calls as JSON, by descriptors that the operator configured (`protoc --include_imports -o FILE`).

Unlike `attributes`, this is the JSON form of protobuf as it is defined: 64-bit integers are texts, enumerations are
names, times are RFC 3339.
"""

from __future__ import annotations

import struct
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from extauthz.errors import ConfigurationError
from extauthz.languages.rego.input_document import CUT_BODY, NO_BODY, Body, InputRefusedError
from extauthz.languages.rego.value import Value

_PREFIX: Final = struct.Struct(">?I")
"""A message's compressed flag and length (gRPC over HTTP/2, Length-Prefixed-Message)."""

_LARGEST_WHOLE: Final = 1e21
"""Up to there Go writes doubles without exponent."""


class GrpcBodyReader:
    """A `GrpcReader` over a set of descriptors."""

    def __init__(self, descriptor_set: bytes) -> None:
        """Read messages of these services.

        Args:
            descriptor_set: a serialised google.protobuf.FileDescriptorSet, imports included.

        Raises:
            ConfigurationError: it is none, or lacks what it imports.
        """
        try:
            files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file
        except DecodeError:
            raise ConfigurationError("not a serialised FileDescriptorSet: make one with protoc -o") from None
        self._pool = descriptor_pool.DescriptorPool()
        known = {file.name: file for file in files}
        waiting = list(known.values())
        added: set[str] = set()
        while waiting:
            # Any order will do in a set, but not in a pool.
            ready = [file for file in waiting if added.issuperset(file.dependency)]
            if not ready:
                missing = sorted({name for file in waiting for name in file.dependency if name not in known})
                lacks = f"it lacks {', '.join(missing)}: make it with --include_imports" if missing else "imports turn"
                raise ConfigurationError(f"the descriptors cannot be used: {lacks}")
            for file in ready:
                self._add(file)
            added |= {file.name for file in ready}
            waiting = [file for file in waiting if file.name not in added]

    def _add(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        try:
            self._pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise ConfigurationError(f"the descriptors cannot be used: {file.name}: {error}") from None

    def __call__(self, sent: bytes, path: list[str]) -> Body:
        """The first message of a call.

        Args:
            sent: what the proxy packed as bytes.
            path: the parsed path: service and method.

        Raises:
            InputRefusedError: the path names no method, or the message is malformed.
        """
        if len(path) != 2:
            raise InputRefusedError("invalid parsed path")
        if len(sent) < _PREFIX.size:
            raise InputRefusedError("less than 5 bytes")
        compressed, length = _PREFIX.unpack_from(sent)
        if compressed:
            return NO_BODY
        if length > len(sent) - _PREFIX.size:
            return CUT_BODY
        method = self._method(*path)
        if method is None or method.client_streaming:
            return NO_BODY
        return Body(self._decoded(method, sent[_PREFIX.size : _PREFIX.size + length]), truncated=False)

    def _method(self, service: str, method: str) -> MethodDescriptor | None:
        try:
            return self._pool.FindServiceByName(service).methods_by_name.get(method)
        except (KeyError, TypeError):  # TypeError: not UTF-8
            return None

    def _decoded(self, method: MethodDescriptor, serialised: bytes) -> Value:
        message_class = message_factory.GetMessageClass(method.input_type)
        try:
            message = message_class.FromString(serialised)
            document = json_format.MessageToDict(message, descriptor_pool=self._pool)
        except (DecodeError, json_format.SerializeToJsonError, TypeError, ValueError, RecursionError) as error:
            raise InputRefusedError(f"proto: cannot parse the message: {type(error).__name__}") from None
        return _numbers_of_go(document)


def _numbers_of_go(value: Value) -> Value:
    """Whole doubles as the integers that Go writes."""
    if type(value) is dict:
        return {key: _numbers_of_go(member) for key, member in value.items()}
    if type(value) is list:
        return [_numbers_of_go(member) for member in value]
    if type(value) is float and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        return int(value)
    return value
