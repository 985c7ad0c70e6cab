"""Denials that Envoy answers by itself: which requests the authorizer would deny for certain, and how it would answer.

On a route whose every rule is exact for a kind of caller, a request that no native policy allows is denied; so what a
classifying filter has to find out is only how: 401 or 403, with which challenge. It names the first policy that
matches, and names begin with the class: more particular answers come first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from extauthz.authn.challenge import challenge_for
from extauthz.lowering.document import JsonObject
from extauthz.lowering.matchers import RBAC, escaped, full_match
from extauthz.lowering.plan import ALLOW_PREFIX
from extauthz.lowering.routing import ROUTE_KEY, ids_of_listing, listed_origins
from extauthz.model.decision import Reason
from extauthz.model.policy import ANY_ORIGIN, PolicySet, ResponseFormat, ResponseSettings
from extauthz.pdp.cross_origin import readable_headers

DENIAL_PREFIX = "extauthz_denial_"
"""Of the classifying filter's metadata."""
DENIAL_KEY = f"{DENIAL_PREFIX}shadow_effective_policy_id"

_REQUEST_ID = "%REQ(X-REQUEST-ID)%"
"""In the place of the decision's id, of which there is none: it is in the access log, too."""


class DenialClass(StrEnum):
    """How a denial is answered: the beginning of a policy's name, in the order of precedence."""

    BAD_REQUEST = "0_bad_request"
    INSUFFICIENT_SCOPE = "1_insufficient_scope"
    CREDENTIAL_MISSING = "2_credential_missing"
    FORBIDDEN = "3_forbidden"
    TOKEN_INVALID = "4_token_invalid"  # noqa: S105 - a name, not a secret
    LEFT = "5_left"


_STATUS: Mapping[DenialClass, tuple[int, str, Reason]] = {
    DenialClass.BAD_REQUEST: (400, "Bad Request", Reason.PATH_AMBIGUOUS),
    DenialClass.INSUFFICIENT_SCOPE: (403, "Forbidden", Reason.INSUFFICIENT_SCOPE),
    DenialClass.CREDENTIAL_MISSING: (401, "Unauthorized", Reason.CREDENTIAL_MISSING),
    DenialClass.FORBIDDEN: (403, "Forbidden", Reason.NO_MATCHING_ALLOW),
    DenialClass.TOKEN_INVALID: (401, "Unauthorized", Reason.TOKEN_MALFORMED),
    DenialClass.LEFT: (403, "Forbidden", Reason.NO_MATCHING_ALLOW),
}


def denial_name(denial: DenialClass, place: str) -> str:
    """The name of a policy of this class."""
    return f"{denial}/{place}"


def scope_denial_name(rule: int, scopes: int, place: str) -> str:
    """The name of a policy whose challenge names scopes: the first rule that lacks nothing else comes first."""
    return f"{DenialClass.INSUFFICIENT_SCOPE}/{rule:04}/{scopes:04}/{place}"


def _names_of(denial: DenialClass) -> JsonObject:
    return {"prefix": denial_name(denial, "")}


def _names_of_scopes(scopes: int) -> JsonObject:
    return full_match(rf"{DenialClass.INSUFFICIENT_SCOPE}/[0-9]+/{scopes:04}/(?:.|\n)*")


def local_replies(policy_set: PolicySet, scopes: Iterable[tuple[str, ...]], decision_key: str) -> JsonObject:
    """`LocalReplyConfig`: the answers to what the enforcing filter denies; other local replies stay as they are.

    Args:
        policy_set: for the form of its responses.
        scopes: those that challenges name, in the order of their numbers.
        decision_key: where the enforcing filter writes what let a request through.
    """
    allowed = {"filter": RBAC, "path": [{"key": decision_key}], "value": {"string_match": {"prefix": ALLOW_PREFIX}}}
    denied: JsonObject = {
        "and_filter": {
            "filters": [
                _DENIED_BY_RBAC,
                # Not by an RBAC filter of somebody else's, behind ours.
                {"metadata_filter": {"matcher": {**allowed, "invert": True}, "match_if_key_not_found": True}},
            ]
        }
    }
    readers = [_Reader(number, origins) for number, origins in enumerate(listed_origins(policy_set))]
    return {"mappers": list(_mappers(policy_set.responses, tuple(scopes), denied, [*readers, None]))}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Requests whose denials the scripts of some web origins may read, as `check.answer` has it."""

    number: int
    """Of the list of origins."""
    origins: tuple[str, ...]

    @property
    def filters(self) -> list[JsonObject]:
        of_route = _metadata_is(ROUTE_KEY, full_match(ids_of_listing(self.number)))
        if self.origins == ANY_ORIGIN:
            return [of_route]
        # Repeated headers are joined by commas, so no listed origin is equal to them.
        listed = full_match("|".join(escaped(origin) for origin in self.origins))
        return [of_route, {"header_filter": {"header": {"name": "origin", "string_match": listed}}}]

    @property
    def headers(self) -> dict[str, str]:
        return readable_headers("*" if self.origins == ANY_ORIGIN else "%REQ(ORIGIN)%")


def _mappers(
    responses: ResponseSettings,
    scopes: Sequence[tuple[str, ...]],
    denied: JsonObject,
    readers: Sequence[_Reader | None],
) -> Iterator[JsonObject]:
    """The first mapper that fits is taken, so those for certain readers come first."""
    for reader in readers:
        of_reader = [denied] if reader is None else [denied, *reader.filters]
        more = {} if reader is None else reader.headers
        for number, chosen in enumerate(scopes):
            of_class = [*of_reader, _metadata_is(DENIAL_KEY, _names_of_scopes(number))]
            yield from _mapper(responses, DenialClass.INSUFFICIENT_SCOPE, of_class, more, chosen)
        for denial in DenialClass:
            if denial is not DenialClass.INSUFFICIENT_SCOPE:
                of_class = [*of_reader, _metadata_is(DENIAL_KEY, _names_of(denial))]
                yield from _mapper(responses, denial, of_class, more)


def _mapper(
    responses: ResponseSettings,
    denial: DenialClass,
    of_class: Sequence[JsonObject],
    more_headers: Mapping[str, str],
    scopes: Sequence[str] = (),
) -> Iterator[JsonObject]:
    """For gRPC the body becomes `grpc-message`, so it is the short title; the first mapper that fits is taken."""
    status, title, reason = _STATUS[denial]
    challenge = challenge_for(responses, reason, scopes)
    headers: dict[str, str] = {"cache-control": "no-store", **more_headers}
    if challenge is not None:
        headers["www-authenticate"] = challenge.replace("%", "%%")
    mapper: JsonObject = {"status_code": status, "headers_to_add": [_header(n, v) for n, v in headers.items()]}
    yield {
        **mapper,
        "filter": {"and_filter": {"filters": [*of_class, _IS_GRPC]}},
        "body_format_override": {"text_format_source": {"inline_string": title}},
    }
    yield {
        **mapper,
        "filter": {"and_filter": {"filters": of_class}},
        "body_format_override": _body(responses.format, status, title),
    }


def _body(response_format: ResponseFormat, status: int, title: str) -> JsonObject:
    match response_format:
        case ResponseFormat.PROBLEM:
            problem = {"type": "about:blank", "title": title, "status": status, "decision_id": _REQUEST_ID}
            return {
                "text_format_source": {"inline_string": json.dumps(problem)},
                "content_type": "application/problem+json",
            }
        case ResponseFormat.TEXT:
            text = f"{title} (decision {_REQUEST_ID})\n"
            return {"text_format_source": {"inline_string": text}, "content_type": "text/plain; charset=utf-8"}
        case ResponseFormat.EMPTY:
            return {"text_format_source": {"inline_string": ""}}


def _header(name: str, value: str) -> JsonObject:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _metadata_is(key: str, string_match: JsonObject) -> JsonObject:
    matcher = {"filter": RBAC, "path": [{"key": key}], "value": {"string_match": string_match}}
    # Without this a request without such metadata would be taken for one with it.
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


# The enforcing filter's metadata about a denial is written after the reply.
_DENIED_BY_RBAC: JsonObject = {
    "extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": "response.code_details.startsWith('rbac_access_denied')",
        },
    }
}
_IS_GRPC: JsonObject = {
    "header_filter": {
        "header": {
            "name": "content-type",
            "string_match": full_match(r"application/grpc(?:\+.*)?"),
        }
    }
}
