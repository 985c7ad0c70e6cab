import json

import pytest
import re2

from extauthz.lowering.denial import DenialClass, denial_name, local_replies, scope_denial_name
from extauthz.model.policy import ResponseFormat, ResponseSettings
from tests.strategies import make_policy_set, make_route


def mappers(*scopes, **responses):
    settings = ResponseSettings(**responses)
    return local_replies(make_policy_set(responses=settings), scopes, "decision")["mappers"]


def of_class(found, name):
    """The mapper that answers a denial of this name, gRPC left out."""

    def takes(string_match):
        if "prefix" in string_match:
            return name.startswith(string_match["prefix"])
        return re2.fullmatch(string_match["safe_regex"]["regex"], name) is not None

    for mapper in found:
        filters = mapper["filter"]["and_filter"]["filters"]
        if len(filters) == 2 and takes(filters[1]["metadata_filter"]["matcher"]["value"]["string_match"]):
            return mapper
    raise AssertionError(name)


def headers_of(mapper):
    return {h["header"]["key"]: h["header"]["value"] for h in mapper["headers_to_add"]}


@pytest.mark.parametrize(
    ("denial", "status", "challenge"),
    [
        (DenialClass.BAD_REQUEST, 400, None),
        (DenialClass.CREDENTIAL_MISSING, 401, "Bearer"),
        (DenialClass.TOKEN_INVALID, 401, 'Bearer error="invalid_token"'),
        (DenialClass.FORBIDDEN, 403, None),
        (DenialClass.LEFT, 403, None),
    ],
)
def test_each_class_has_its_status_and_challenge(denial, status, challenge):
    """As the authorizer answers; no denial may be cached."""
    mapper = of_class(mappers(), denial_name(denial, "order/provider_corp"))
    assert mapper["status_code"] == status
    assert headers_of(mapper).get("www-authenticate") == challenge
    assert headers_of(mapper)["cache-control"] == "no-store"


def test_a_challenge_names_the_scopes_that_would_have_been_enough():
    """By the number in the policy's name, wherever the rule stood."""
    found = mappers(("a", "b"), ("c",), realm="100%")
    for rule in (0, 12):
        mapper = of_class(found, scope_denial_name(rule, 1, "x/y"))
        challenge = headers_of(mapper)["www-authenticate"]
        assert challenge == 'Bearer realm="100%%", error="insufficient_scope", scope="c"'
    assert 'scope="a b"' in headers_of(of_class(found, scope_denial_name(1, 0, "x")))["www-authenticate"]


def test_names_sort_by_class_then_by_rule():
    """The first policy that matches is the answer."""
    names = [
        denial_name(DenialClass.BAD_REQUEST, "z"),
        scope_denial_name(0, 7, "z"),
        scope_denial_name(1, 2, "a"),
        denial_name(DenialClass.CREDENTIAL_MISSING, "a"),
        denial_name(DenialClass.FORBIDDEN, "a"),
        denial_name(DenialClass.TOKEN_INVALID, "a"),
        denial_name(DenialClass.LEFT, "a"),
    ]
    assert names == sorted(names)


def test_other_local_replies_stay_as_they_are():
    """Only what RBAC denies, and not what another RBAC filter denies after ours has allowed it."""
    for mapper in mappers(("a",)):
        denied = json.dumps(mapper["filter"]["and_filter"]["filters"][0])
        assert "rbac_access_denied" in denied
        assert '"invert": true' in denied


@pytest.mark.parametrize(
    ("response_format", "content_type", "body"),
    [
        (ResponseFormat.PROBLEM, "application/problem+json", '"status": 403'),
        (ResponseFormat.TEXT, "text/plain; charset=utf-8", "Forbidden (decision "),
        (ResponseFormat.EMPTY, None, ""),
    ],
)
def test_the_body_has_the_form_that_the_set_asks_for(response_format, content_type, body):
    """The request's id stands where a decision's would."""
    override = of_class(mappers(format=response_format), denial_name(DenialClass.FORBIDDEN, "a"))[
        "body_format_override"
    ]
    assert override.get("content_type") == content_type
    assert body in override["text_format_source"]["inline_string"]


def test_a_grpc_client_gets_the_short_title():
    """Envoy makes the body its grpc-message; that mapper comes first."""
    first, second = mappers()[:2]
    assert first["body_format_override"] == {"text_format_source": {"inline_string": "Bad Request"}}
    assert len(first["filter"]["and_filter"]["filters"]) == len(second["filter"]["and_filter"]["filters"]) + 1


def test_denials_are_readable_by_origins_that_a_route_lists():
    """Those mappers come first, once for each list."""
    lists = [("https://app.example", "https://b.example"), ("*",), ("https://app.example", "https://b.example"), ()]
    routes = [make_route(f"/{number}", name=str(number), cors_origins=origins) for number, origins in enumerate(lists)]
    found = local_replies(make_policy_set(*routes), [], "decision")["mappers"]
    added = [{h["header"]["key"]: h["header"]["value"] for h in mapper["headers_to_add"]} for mapper in found]
    readable = [headers.get("access-control-allow-origin") for headers in added]
    each = len(found) // 3
    assert readable == ["%REQ(ORIGIN)%"] * each + ["*"] * each + [None] * each
    assert [headers.get("vary") for headers in added] == ["origin"] * each + [None] * each * 2
    first = json.dumps(found[0]["filter"])
    assert r"https://app\\.example|https://b\\.example" in first
