import base64
from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from google.protobuf import json_format

from extauthz.check.opa_input import EVERYTHING, InputBuilder
from extauthz.languages.rego.input_document import InputRefusedError

FULL = {
    "attributes": {
        "source": {
            "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 4000, "protocol": "UDP"}},
            "principal": "spiffe://a/b",
            "labels": {"app": "web"},
        },
        "destination": {"address": {"pipe": {"path": "/run/s", "mode": 384}}},
        "request": {
            "time": "2026-11-24T12:00:00.000000007Z",
            "http": {
                "id": "7",
                "method": "GET",
                "headers": {":path": "/a?b=1", "accept": "*/*"},
                "headerMap": {"headers": [{"key": "accept", "rawValue": "Ki8q"}]},
                "path": "/a?b=1",
                "size": "12345678901",
                "rawBody": "/w==",
            },
        },
        "contextExtensions": {"k": "v"},
        "metadataContext": {
            "filterMetadata": {"f": {"n": 1.5, "i": 7, "b": True, "z": None, "l": [1, "two", {}], "o": {"d": {}}}},
            "typedFilterMetadata": {"t": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}},
        },
        "routeMetadataContext": {},
        "tlsSession": {"sni": "shop.example"},
    }
}


def request(document):
    return json_format.ParseDict(document, CheckRequest())


def build(document, reads=EVERYTHING, **options):
    return InputBuilder(reads, **options).build(request(document))


def test_the_whole_document():
    """Numbers are numbers, enumerations too, bytes are base64, times are their fields; what is not set is absent."""
    any_value = request(FULL).attributes.metadata_context.typed_filter_metadata["t"]
    assert build(FULL) == {
        "attributes": {
            "source": {
                "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 4000, "protocol": 1}},
                "principal": "spiffe://a/b",
                "labels": {"app": "web"},
            },
            "destination": {"address": {"pipe": {"path": "/run/s", "mode": 384}}},
            "request": {
                "time": {"seconds": 1795521600, "nanos": 7},
                "http": {
                    "id": "7",
                    "method": "GET",
                    "headers": {":path": "/a?b=1", "accept": "*/*"},
                    "headerMap": {"headers": [{"key": "accept", "rawValue": "Ki8q"}]},
                    "path": "/a?b=1",
                    "size": 12345678901,
                    "rawBody": "/w==",
                },
            },
            "contextExtensions": {"k": "v"},
            "metadataContext": {
                "filterMetadata": {"f": {"n": 1.5, "i": 7, "b": True, "z": None, "l": [1, "two", {}], "o": {"d": {}}}},
                "typedFilterMetadata": {
                    "t": {"typeUrl": any_value.type_url, "value": base64.b64encode(any_value.value).decode()}
                },
            },
            "routeMetadataContext": {},
            "tlsSession": {"sni": "shop.example"},
        },
        "parsed_path": ["a"],
        "parsed_query": {"b": ["1"]},
        "parsed_body": None,
        "truncated_body": False,
        "source_principal": "spiffe://a/b",
        "version": {"ext_authz": "v3", "encoding": "protojson"},
    }


def test_exactly_the_types_of_rego():
    """Evaluation asks for types, so that nothing may be of a type of protobuf's."""

    def kinds(value):
        yield type(value)
        if isinstance(value, dict):
            for member in value.values():
                yield from kinds(member)
        if isinstance(value, list):
            for member in value:
                yield from kinds(member)

    assert set(kinds(build(FULL))) <= {dict, list, str, int, float, bool, type(None)}


def test_numbers_that_are_none():
    """Doubles of a Struct that JSON has no numbers for are Go's texts."""
    message = CheckRequest()
    struct = message.attributes.metadata_context.filter_metadata["f"]
    for name, number in {"nan": float("nan"), "up": float("inf"), "down": float("-inf")}.items():
        struct.fields[name].number_value = number
    found = InputBuilder().build(message)["attributes"]["metadataContext"]["filterMetadata"]["f"]
    assert found == {"nan": "NaN", "up": "Infinity", "down": "-Infinity"}


def test_an_empty_request():
    """There is a path, and no attributes."""
    assert build({}) == {
        "parsed_path": [""],
        "parsed_query": {},
        "parsed_body": None,
        "truncated_body": False,
        "version": {"ext_authz": "v3", "encoding": "protojson"},
    }


READS = [
    {("attributes", "request", "http", "method")},
    {("attributes", "request", "http", "headers", "accept"), ("attributes", "request", "http", "headers", "none")},
    {("attributes", "request", "http", "headers"), ("attributes", "request", "http", "size")},
    {("attributes", "source", "labels", "app"), ("attributes", "tlsSession", "sni")},
    {("attributes", "metadataContext", "filterMetadata", "f", "n")},
    {("attributes", "metadataContext"), ("attributes", "routeMetadataContext")},
    {("attributes", "destination", "address", "pipe", "mode"), ("attributes", "unknown")},
    {("attributes",), ("attributes", "request")},
    {("parsed_path",)},
    set(),
    {()},
]


@pytest.mark.parametrize("reads", READS)
def test_a_part_says_what_the_whole_says(reads):
    """Whatever a policy reads is there as in the whole document, and absent where it is absent there."""

    def at(document, path):
        for key in path:
            if not isinstance(document, dict) or key not in document:
                return "absent"
            document = document[key]
        return document

    documents: list[dict[str, Any]] = [FULL, {}, {"attributes": {"request": {"http": {}}}}]
    for document in documents:
        whole, part = build(document), build(document, reads)
        for path in reads:
            assert at(part, path) == at(whole, path)


def test_what_nobody_reads_is_not_built():
    """Neither other headers nor other branches."""
    part = build(FULL, {("attributes", "request", "http", "headers", "accept")})
    assert part["attributes"] == {"request": {"http": {"headers": {"accept": "*/*"}}}}
    assert "attributes" not in build(FULL, {("parsed_path",)})


def test_bodies():
    """The text first, else the bytes; without parsing, neither key is there, and nothing can be malformed."""
    http = {"headers": {"content-type": "application/json"}, "body": "[1]", "rawBody": "WzJd"}
    assert build({"attributes": {"request": {"http": http}}})["parsed_body"] == [1]
    assert build({"attributes": {"request": {"http": {**http, "body": ""}}}})["parsed_body"] == [2]
    broken = {"attributes": {"request": {"http": {**http, "body": "["}}}}
    with pytest.raises(InputRefusedError):
        build(broken, set())
    assert not {"parsed_body", "truncated_body"} & build(broken, parses_body=False).keys()


def test_a_malformed_target_is_refused_whether_it_is_read_or_not():
    """As the incumbent does."""
    with pytest.raises(InputRefusedError, match="invalid URL escape"):
        build({"attributes": {"request": {"http": {"path": "/%"}}}}, set())
