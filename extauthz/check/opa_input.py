"""CheckRequest -> the document that a policy written for opa-envoy-plugin finds in `input`.

`attributes` is almost, but not quite, the JSON form of the message: fields under their JSON names, only those that are
set; integers of every width and enumerations are numbers, bytes are base64, times and durations are their fields. Only
`google.protobuf.Struct` becomes the object that it stands for. What the policy cannot read is not built.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from extauthz.languages.rego.input_document import Body, GrpcReader, parse_body, parse_target
from extauthz.languages.rego.value import Value

Reader: TypeAlias = Callable[[Any], Value]
"""Makes a value of what a protobuf field holds."""

InputPath: TypeAlias = tuple[str, ...]

EVERYTHING: Final[frozenset[InputPath]] = frozenset({()})
"""What a policy reads of which nothing is known."""

VERSION: Final[Mapping[str, str]] = {"ext_authz": "v3", "encoding": "protojson"}


class InputBuilder:
    """Builds documents, with at least what a policy reads of them."""

    def __init__(
        self,
        reads: Iterable[InputPath] = EVERYTHING,
        *,
        parses_body: bool = True,
        grpc: GrpcReader | None = None,
    ) -> None:
        """Build from now on.

        Args:
            reads: the paths of the input that the policy can depend on.
            parses_body: whether there are `parsed_body` and `truncated_body`; then a malformed body is refused.
            grpc: reads the bodies of gRPC calls; None where no descriptors are configured.
        """
        tree = _tree(reads)
        self._parses_body = parses_body
        self._grpc = grpc
        self._request = message_reader(external_auth_pb2.CheckRequest.DESCRIPTOR, tree)

    def build(self, check_request: external_auth_pb2.CheckRequest) -> dict[str, Value]:
        """The document of a request.

        Raises:
            InputRefusedError: its target or body is malformed.
        """
        document: dict[str, Value] = self._request(check_request)
        attributes = check_request.attributes
        http = attributes.request.http
        document["version"] = VERSION
        path, document["parsed_query"] = parse_target(http.path)
        document["parsed_path"] = path
        if self._parses_body:
            body = self._body(http, path)
            document["parsed_body"] = body.value
            document["truncated_body"] = body.truncated
        principal = attributes.source.principal
        if principal:
            document["source_principal"] = principal
        return document

    def _body(self, http: Any, path: list[str]) -> Body:
        raw: bytes = http.raw_body
        return parse_body(http.headers, http.body.encode() or raw, raw=raw, path=path, grpc=self._grpc)


# --- Messages as documents -----------------------------------------------------------------------------------------

_Tree: TypeAlias = "Mapping[str, _Tree] | None"
"""Which members of an object are needed, and of those in turn; None is all of it."""


def _tree(paths: Iterable[InputPath]) -> _Tree:
    root: dict[str, Any] = {}
    for path in sorted(paths, key=len, reverse=True):  # what is read whole comes last, and replaces its parts
        if not path:
            return None
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = None
    return root


def message_reader(descriptor: Descriptor, tree: _Tree) -> Reader:
    """What makes documents of messages of one type, with the members that the tree names."""
    if tree is None:
        return _whole_message
    return _part_reader(descriptor, tree)


def _part_reader(descriptor: Descriptor, tree: Mapping[str, _Tree]) -> Reader:
    wanted = [(field, tree[field.json_name]) for field in descriptor.fields if field.json_name in tree]
    messages = [
        (field.name, field.json_name, message_reader(field.message_type, below))
        for field, below in wanted
        if field.message_type is not None and not field.is_repeated and not _is_struct(field.message_type)
    ]
    texts = [
        (field.name, field.json_name, tuple(below))
        for field, below in wanted
        if below is not None and _is_text_map(field)
    ]
    taken = {name for name, *_ in (*messages, *texts)}
    others = [(field.name, *_field_reader(field)) for field, _ in wanted if field.name not in taken]
    has_presence = {field.name for field, _ in wanted if field.has_presence}

    def read(message: Any) -> Value:
        document = {}
        for name, key, read_message in messages:
            if message.HasField(name):
                document[key] = read_message(getattr(message, name))
        for name, key, members in texts:
            mapping = getattr(message, name)
            if mapping:
                document[key] = {member: mapping[member] for member in members if member in mapping}
        for name, key, read_field in others:
            if message.HasField(name) if name in has_presence else getattr(message, name):
                value = getattr(message, name)
                document[key] = value if read_field is None else read_field(value)
        return document

    return read


def _whole_message(message: Any) -> Value:
    document = {}
    for field, value in message.ListFields():
        key, read = _field_reader(field)
        document[key] = value if read is None else read(value)
    return document


@cache
def _field_reader(field: FieldDescriptor) -> tuple[str, Reader | None]:
    """A field's key, and what makes a document of what it holds; None where that is one already."""
    return field.json_name, _map_reader(field) or _repeated_reader(field) or _value_reader(field)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_text_map(field: FieldDescriptor) -> bool:
    return _is_map(field) and all(f.type == FieldDescriptor.TYPE_STRING for f in field.message_type.fields)


def _map_reader(field: FieldDescriptor) -> Reader | None:
    if not _is_map(field):
        return None
    if _is_text_map(field):
        return dict
    read = _value_reader(field.message_type.fields_by_name["value"])

    def read_map(mapping: Any) -> Value:
        return {_key_text(member): held if read is None else read(held) for member, held in mapping.items()}

    return read_map


def _key_text(key: str | int) -> str:  # booleans are integers here
    return str(key).lower() if isinstance(key, bool) else str(key)


def _repeated_reader(field: FieldDescriptor) -> Reader | None:
    if not field.is_repeated:
        return None
    read = _value_reader(field)
    return list if read is None else lambda values: [read(value) for value in values]


def _value_reader(field: FieldDescriptor) -> Reader | None:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _base64
    if field.message_type is not None:
        return _struct if _is_struct(field.message_type) else _whole_message
    return None


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


# --- google.protobuf.Struct ----------------------------------------------------------------------------------------


def _is_struct(descriptor: Descriptor) -> bool:
    return bool(descriptor.full_name == "google.protobuf.Struct")


def _struct(struct: Any) -> Value:
    return {name: _struct_value(value) for name, value in struct.fields.items()}


def _struct_value(value: Any) -> Value:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return [_struct_value(member) for member in value.list_value.values]
        case "number_value":
            return _number(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _number(number: float) -> Value:
    """A double as a number; Go's structpb has texts for those that are none."""
    if math.isfinite(number):
        return int(number) if number.is_integer() else number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
