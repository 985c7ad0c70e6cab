"""Descriptors of a gRPC service, as `protoc --include_imports -o` writes them, without protoc."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, timestamp_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto


def shop_descriptors() -> bytes:
    """`shop.v1.Orders`: `Place` takes one order, `Upload` a stream of them."""
    shop = descriptor_pb2.FileDescriptorProto(
        name="shop.proto",
        package="shop.v1",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    line = shop.message_type.add(name="Line")
    _add(line, "sku_code", 1, _FIELD.TYPE_STRING)
    order = shop.message_type.add(name="Order")
    _add(order, "customer_id", 1, _FIELD.TYPE_STRING)
    _add(order, "total_cents", 2, _FIELD.TYPE_INT64)
    _add(order, "tier", 3, _FIELD.TYPE_ENUM, ".shop.v1.Tier")
    _add(order, "blob", 4, _FIELD.TYPE_BYTES)
    _add(order, "lines", 5, _FIELD.TYPE_MESSAGE, ".shop.v1.Line", label=_FIELD.LABEL_REPEATED)
    _add(order, "rate", 6, _FIELD.TYPE_DOUBLE)
    _add(order, "rush", 7, _FIELD.TYPE_BOOL)
    _add(order, "placed_at", 8, _FIELD.TYPE_MESSAGE, ".google.protobuf.Timestamp")
    tier = shop.enum_type.add(name="Tier")
    tier.value.add(name="TIER_UNSPECIFIED", number=0)
    tier.value.add(name="TIER_GOLD", number=1)
    orders = shop.service.add(name="Orders")
    orders.method.add(name="Place", input_type=".shop.v1.Order", output_type=".shop.v1.Line")
    orders.method.add(name="Upload", input_type=".shop.v1.Order", output_type=".shop.v1.Line", client_streaming=True)
    files = descriptor_pb2.FileDescriptorSet()
    files.file.append(descriptor_pb2.FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb))
    files.file.append(shop)
    serialized: bytes = files.SerializeToString()
    return serialized


def _add(
    message: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    kind: int,
    type_name: str = "",
    *,
    label: int = _FIELD.LABEL_OPTIONAL,
) -> None:
    words = name.split("_")
    json_name = words[0] + "".join(word.title() for word in words[1:])
    message.field.add(
        name=name, number=number, type=kind, type_name=type_name or None, label=label, json_name=json_name
    )
