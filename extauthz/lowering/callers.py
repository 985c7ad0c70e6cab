"""Who sends a request, as far as Envoy can tell: what a shadow RBAC filter behind jwt_authn writes down.

A caller is classified only where the authorizer would authenticate the same one: exactly one credential, in a place
that its provider reads, verified, with everything in it that authentication looks at as it should be. Or none at all.
Everybody else is left to the authorizer, who then says 400 or 401.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from extauthz.authn.token import MAXIMUM_TOKEN_BYTES
from extauthz.lowering import expression as cel
from extauthz.lowering.expression import Expr
from extauthz.lowering.formula import ALWAYS, Cel, Formula, all_hold
from extauthz.lowering.jwt_authn import all_keys_named, header_key, payload_key, spellings
from extauthz.lowering.matchers import (
    COMPACT_JWS,
    JWT_AUTHN,
    RBAC,
    escaped,
    exactly,
    metadata,
    metadata_text,
    text_or_member,
)
from extauthz.model.policy import PolicySet
from extauthz.model.provider import Provider, TokenLocation

CALLER_PREFIX = "extauthz_caller_"
"""Of the classifying filter's metadata."""
ANONYMOUS_ID = "anonymous"

_MAXIMUM_HEADER_CHARACTERS = 4096
_MAXIMUM_COOKIE_CHARACTERS = 4096
_NUL = "\0"


@dataclass(frozen=True, slots=True)
class Caller:
    """One kind of caller of a route."""

    id: str
    provider: Provider | None
    """Who vouches for the caller; None: nobody does."""
    test: Formula
    """Whether a request comes from such a caller."""


ANYBODY = Caller("anybody", None, ALWAYS)
"""On a route that looks at no credentials."""


def is_classified() -> Formula:
    """Whether the classifying filter has found anything."""
    return metadata(RBAC, (f"{CALLER_PREFIX}shadow_effective_policy_id",), {"present_match": True})


def classified(caller_id: str) -> Formula:
    """Whether the classifying filter has found this."""
    return metadata_text(RBAC, f"{CALLER_PREFIX}shadow_effective_policy_id", exactly(caller_id))


ANONYMOUS = Caller(ANONYMOUS_ID, None, classified(ANONYMOUS_ID))


def caller_of(provider: Provider) -> Caller:
    """Those whom a provider vouches for."""
    caller_id = f"provider_{provider.name}"
    return Caller(caller_id, provider, classified(caller_id))


def claims(provider: Provider) -> Expr:
    """The payload of the provider's verified token; an error when there is none."""
    return _token_part(payload_key(provider))


def _token_part(key: str) -> Expr:
    namespace = cel.call("_[_]", cel.field(cel.name("metadata"), "filter_metadata"), cel.text(JWT_AUTHN))
    return cel.field(namespace, key)


# --- The places of credentials -------------------------------------------------------------------------------------


class Places:
    """Every place where some provider of the set looks for a credential."""

    def __init__(self, policy_set: PolicySet) -> None:
        self._schemes: dict[str, set[str]] = {}
        self._api_keys = frozenset(provider.header for provider in policy_set.api_key_providers)
        self._bare = set(self._api_keys)
        self._cookies: set[str] = set()
        for location in (at for provider in policy_set.providers for at in provider.tokens):
            if location.cookie is not None:
                self._cookies.add(location.cookie)
            elif location.header is not None and location.scheme is not None:
                self._schemes.setdefault(location.header, set()).add(location.scheme)
            elif location.header is not None:
                self._bare.add(location.header)

    def empty(self, besides: TokenLocation | None = None) -> Expr:
        """Whether no place holds a credential, one left out of account."""
        header = besides.header if besides else None
        cookie = besides.cookie if besides else None
        if besides is not None and besides.scheme is None and header in self._api_keys:
            return cel.literal(true=False)  # a value there may be a token or an API key
        found = [cel.negated(cel.has_header(name)) for name in sorted(self._bare - {header})]
        found += [
            _without(name, rf"(?i)(?:^|,)[ \t]*(?:{_alternatives(schemes)})(?:[ ,]|$)")
            for name, schemes in sorted(self._schemes.items())
            if name not in self._bare | {header}
        ]
        cookies = self._cookies - {cookie}
        if cookies:
            found.append(_without("cookie", rf"(?:^|[;, \t])(?:{_alternatives(cookies)})="))
        return cel.all_of(found)


def _without(header: str, regex: str) -> Expr:
    """Whether the header is absent, or nothing in it matches."""
    return cel.any_of(
        [cel.negated(cel.has_header(header)), cel.negated(cel.matches(cel.header(header), regex))],
    )


def _alternatives(literals: Iterable[str]) -> str:
    return "|".join(escaped(literal) for literal in sorted(literals))


def _presented_at(location: TokenLocation) -> Expr:
    """Whether the place holds one token and nothing else; repeated headers are joined by commas, so no token is."""
    if location.cookie is not None:
        cookies, cookie = cel.header("cookie"), escaped(location.cookie)
        return cel.all_of(
            [
                cel.call("_<=_", cel.call("size", cookies), cel.integer(_MAXIMUM_COOKIE_CHARACTERS)),
                cel.matches(cookies, rf"(?:^|;[ \t]*){cookie}={COMPACT_JWS}[ \t]*(?:;|$)"),
                cel.negated(cel.matches(cookies, rf"{cookie}=.*{cookie}=")),
            ]
        )
    value = cel.header(location.header or "")
    before = 0 if location.scheme is None else len(location.scheme) + 1
    prefix = "" if location.scheme is None else f"(?:{_alternatives(spellings(location.scheme))}) "
    return cel.all_of(
        [
            cel.call("_<=_", cel.call("size", value), cel.integer(before + MAXIMUM_TOKEN_BYTES)),
            cel.matches(value, f"^{prefix}{COMPACT_JWS}$"),
            cel.call(
                "_<=_",
                cel.method(value, "indexOf", cel.text(".")),
                cel.integer(before + _MAXIMUM_HEADER_CHARACTERS),
            ),
        ]
    )


# --- What is classified --------------------------------------------------------------------------------------------


def is_anonymous(places: Places) -> Formula:
    """Whether a request presents no credential."""
    return Cel(places.empty())


def is_vouched_for(provider: Provider, places: Places) -> Formula:
    """Whether a request presents one credential, which proves a caller of the provider to us as well as to Envoy."""
    presented = [cel.all_of([_presented_at(location), places.empty(location)]) for location in provider.tokens]
    payload = claims(provider)
    condition = cel.all_of(
        [
            cel.any_of(presented),
            *_header_conditions(provider),
            _is_issued_by_now(payload, provider.clock_skew_seconds),
            _is_subject(cel.fields(payload, provider.claims.subject.keys)),
            *(
                where_present(payload, path.keys, is_text_or_texts)
                for path in (*provider.claims.roles, *provider.claims.groups, *provider.claims.scopes)
            ),
        ]
    )
    audience = ALWAYS if provider.audiences is None else _has_audience(provider, provider.audiences)
    return all_hold(audience, Cel(condition))


def _has_audience(provider: Provider, audiences: Iterable[str]) -> Formula:
    return metadata(JWT_AUTHN, (payload_key(provider), "aud"), text_or_member(audiences))


def _header_conditions(provider: Provider) -> list[Expr]:
    header = _token_part(header_key(provider))
    conditions = [
        cel.contained(cel.field(header, "alg"), cel.texts(sorted(provider.algorithms))),
        # RFC 7515 section 4.1.11 and RFC 7797: Envoy passes over both.
        cel.negated(cel.has(header, "crit")),
        cel.negated(cel.has(header, "b64")),
    ]
    if not all_keys_named(provider):
        conditions.append(cel.negated(cel.has(header, "kid")))
    return conditions


def _is_issued_by_now(payload: Expr, clock_skew_seconds: float) -> Expr:
    """Envoy does not look at a future `iat`. The request's time in whole seconds: at most one too strict."""
    seconds = cel.call("double", cel.call("int", cel.request("time")))
    latest = cel.call("_+_", seconds, cel.call("double", cel.integer(int(clock_skew_seconds))))
    return cel.any_of(
        [cel.negated(cel.has(payload, "iat")), cel.call("_<=_", cel.field(payload, "iat"), latest)],
    )


def _is_subject(value: Expr) -> Expr:
    return cel.all_of([_is_text(value), cel.negated(cel.equal(value, cel.text("")))])


def where_present(parent: Expr, keys: Sequence[str], holds: Callable[[Expr], Expr], *, or_null: bool = True) -> Expr:
    """Whether the value at the keys below an object is absent, null (with `or_null`), or as `holds` says."""
    value = cel.field(parent, keys[0])
    if len(keys) == 1:
        wanted = holds(value)
    else:
        below = where_present(value, keys[1:], holds, or_null=or_null)
        wanted = cel.all_of([cel.is_of_type(value, "map"), below])
    null = [cel.is_of_type(value, "null_type")] if or_null else []
    return cel.any_of([cel.negated(cel.has(parent, keys[0])), *null, wanted])


def is_text_or_texts(value: Expr) -> Expr:
    """Whether a value is a text or a list of nothing but texts, without NUL, which the authorizer refuses."""
    joined = cel.method(value, "join", cel.text(""))  # an error for any other element
    texts = cel.all_of([cel.is_of_type(value, "list"), _without_nul(joined)])
    return cel.any_of([_is_text(value), texts])


def is_plain(value: Expr) -> Expr:
    """Whether a value means the same to the authorizer's conditions: no object, no list but of texts, no NUL."""
    scalars = [cel.is_of_type(value, name) for name in ("bool", "double", "null_type")]
    return cel.any_of([*scalars, is_text_or_texts(value)])


def is_header_text(value: Expr, regex: str) -> Expr:
    """Whether a value is a text that a header can carry; the regular expression says what that is."""
    return cel.all_of([cel.is_of_type(value, "string"), cel.matches(value, f"^(?:{regex})$")])


def _is_text(value: Expr) -> Expr:
    return cel.all_of([cel.is_of_type(value, "string"), _without_nul(value)])


def _without_nul(value: Expr) -> Expr:
    return cel.negated(cel.method(value, "contains", cel.text(_NUL)))
