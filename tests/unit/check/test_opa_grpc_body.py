import pytest
from google.protobuf import descriptor_pb2

from extauthz.check.opa_grpc_body import GrpcBodyReader
from extauthz.errors import ConfigurationError
from extauthz.languages.rego.input_document import CUT_BODY, NO_BODY, InputRefusedError
from tests.harness.shop_proto import shop_descriptors

ORDER = b"\x0a\x02c1\x10\xac\x02\x18\x01\x22\x01\xff\x31\x00\x00\x00\x00\x00\x00\x04\x40\x42\x02\x08\x01"
"""customer_id "c1", total_cents 300, tier 1, blob ff, rate 2.5, placed_at 1 s."""


def frame(message, flag=0):
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


@pytest.fixture(scope="module")
def reader():
    return GrpcBodyReader(shop_descriptors())


PATH = ["shop.v1.Orders", "Place"]


def test_a_message(reader):
    """The JSON form of protobuf: names in camel case, 64 bits as text, names of enumerations, base64, RFC 3339."""
    found = reader(frame(ORDER), PATH)
    assert found.value == {
        "customerId": "c1",
        "totalCents": "300",
        "tier": "TIER_GOLD",
        "blob": "/w==",
        "rate": 2.5,
        "placedAt": "1970-01-01T00:00:01Z",
    }
    assert not found.truncated


def test_the_first_message_alone(reader):
    """What follows is not looked at; a whole double is a whole number."""
    assert reader(frame(b"\x31\x00\x00\x00\x00\x00\x00\x00\x40") + b"rest", PATH).value == {"rate": 2}
    assert type(reader(frame(b"\x31\x00\x00\x00\x00\x00\x00\x00\x40"), PATH).value["rate"]) is int
    assert reader(frame(b""), PATH).value == {}


@pytest.mark.parametrize(
    ("sent", "path", "expected"),
    [
        (frame(ORDER, 1), PATH, NO_BODY),
        (frame(ORDER)[:-1], PATH, CUT_BODY),
        (frame(ORDER), ["shop.v1.Orders", "None"], NO_BODY),
        (frame(ORDER), ["shop.v1.None", "Place"], NO_BODY),
        (frame(ORDER), ["shop.v1.Line", "Place"], NO_BODY),
        (frame(ORDER), ["shop.v1.Orders", "Upload"], NO_BODY),
        (frame(ORDER), ["\udcff", "Place"], NO_BODY),
    ],
)
def test_what_cannot_be_told(reader, sent, path, expected):
    """Compressed, cut off, of an unknown or streaming method."""
    assert reader(sent, path) == expected


@pytest.mark.parametrize(
    ("sent", "path", "message"),
    [
        (frame(ORDER), ["a"], "invalid parsed path"),
        (b"\0\0\0\0", PATH, "less than 5 bytes"),
        (frame(b"\x0a\x05c"), PATH, "proto:"),
        (frame(b"\x0a\x01\xff"), PATH, "proto:"),
    ],
)
def test_malformed(reader, sent, path, message):
    """What no method takes is refused."""
    with pytest.raises(InputRefusedError, match=message):
        reader(sent, path)


def test_descriptors_that_cannot_be_used():
    """The operator learns what is missing."""
    with pytest.raises(ConfigurationError, match="not a serialised FileDescriptorSet"):
        GrpcBodyReader(b"\xff")
    files = descriptor_pb2.FileDescriptorSet.FromString(shop_descriptors())
    del files.file[0]
    with pytest.raises(ConfigurationError, match=r"lacks google/protobuf/timestamp\.proto"):
        GrpcBodyReader(files.SerializeToString())
    files = descriptor_pb2.FileDescriptorSet.FromString(shop_descriptors())
    files.file[1].message_type[0].field[0].type_name = ".shop.v1.None"
    files.file[1].message_type[0].field[0].type = 11
    with pytest.raises(ConfigurationError, match="cannot be used"):
        GrpcBodyReader(files.SerializeToString())


def test_any_order_of_files():
    """A set says nothing of the order."""
    files = descriptor_pb2.FileDescriptorSet.FromString(shop_descriptors())
    reordered = descriptor_pb2.FileDescriptorSet(file=reversed(files.file))
    assert GrpcBodyReader(reordered.SerializeToString())(frame(b""), PATH).value == {}
