"""Captured CheckRequests: the JSON form of the message (proto3 JSON mapping) to the bytes that Envoy would send."""

from __future__ import annotations

from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf import json_format

from extauthz.errors import RequestMalformedError

_LONGEST_EXPLANATION = 300


def message_from_json(text: bytes) -> bytes:
    """Serialise a CheckRequest that is given as JSON.

    Raises:
        RequestMalformedError: not JSON, or not of this message.
    """
    check_request = external_auth_pb2.CheckRequest()
    try:
        json_format.Parse(text.decode(), check_request)
    except UnicodeDecodeError:
        raise RequestMalformedError("a CheckRequest in JSON is UTF-8") from None
    except (json_format.ParseError, RecursionError) as error:
        explanation = " ".join(str(error).split())[:_LONGEST_EXPLANATION]
        raise RequestMalformedError(f"not a CheckRequest in JSON: {explanation}") from None
    return bytes(check_request.SerializeToString())
