"""The language: every record, key and type of a policy file, described once.

Files are read by this description and the JSON Schema is generated from it. What depends on more than one place
(names, inheritance, overlaps, conditions) is no matter of shape and lives in the modules that resolve and check.
"""

from __future__ import annotations

from typing import TypeAlias

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.records import Key, Record, RecordOf
from extauthz.languages.policy_yaml.shapes import (
    AnyJson,
    ByKey,
    Choice,
    Flag,
    ListOf,
    MapOf,
    Number,
    OneOf,
    OneOrMany,
    Shape,
    Text,
)

NAME = Text(
    pattern=r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,198}[^\s\x00-\x1f\x7f])?",
    form="a name: at most 200 characters, no control characters, no spaces at its ends",
)
TEXT = Text()
VALUE_TEXT = Text(substitutes=True)
CEL = Text(is_code=True)
IDENTIFIER = Text(
    pattern=r"[A-Za-z_][A-Za-z0-9_]{0,99}",
    form="an identifier: letters, digits and _, not beginning with a digit",
)

REGO_RULE = Text(
    pattern=r'data(?:\.[A-Za-z_][A-Za-z0-9_]*|\["[^"\\/\x00-\x1f]+"\])+',
    form="a Rego rule: data.PACKAGE.RULE, as in data.shop.reports.allow",
    is_code=True,
)


# --- Providers -----------------------------------------------------------------------------------------------------


class KeySetText(Record):
    """Where a provider's public keys come from: exactly one of uri, file, inline and discovery."""

    uri = Key(VALUE_TEXT, "The URL of a JWK Set (RFC 7517); https, or http to loopback, or with allow_http.")
    file = Key(VALUE_TEXT, "A file with a JWK Set, relative to this one.")
    inline = Key(AnyJson(), "A JWK Set, written here.")
    discovery = Key(
        Flag(may_be_false=False), "Find the keys through the issuer's metadata (OpenID Connect Discovery, RFC 8414)."
    )
    ca_file = Key(VALUE_TEXT, "The certificate authorities (PEM) that the server of the keys is verified with.")
    allow_http = Key(
        Flag(), "Fetch keys over plain http from hosts other than loopback: only within a trusted network."
    )


class TokenText(Record):
    """A place where a token may stand: a header or a cookie."""

    header = Key(VALUE_TEXT, "The header's name.")
    scheme = Key(VALUE_TEXT, "The authentication scheme before the token, compared without case.")
    cookie = Key(VALUE_TEXT, "The cookie's name.")


class ClaimPathText(Record):
    """A path into the claims whose keys may hold dots."""

    path = Key(ListOf(VALUE_TEXT), "The keys from the outside in; `*` walks a list of objects.", required=True)


ClaimPathWritten: TypeAlias = Scalar | ClaimPathText
_CLAIM_PATH: Shape[ClaimPathWritten] = OneOf(VALUE_TEXT, RecordOf(lambda: ClaimPathText))


class ClaimsText(Record):
    """Where the principal comes from. A path is dotted, or a list of keys; several paths add up."""

    subject = Key(_CLAIM_PATH, "The claim that names the caller; by default `sub`.")
    roles = Key(OneOrMany(_CLAIM_PATH), "The claims that list roles.")
    groups = Key(OneOrMany(_CLAIM_PATH), "The claims that list groups.")
    scopes = Key(OneOrMany(_CLAIM_PATH), "The claims that list scopes; a string is split at spaces (RFC 8693).")


class MayAssertText(Record):
    """What a provider's credentials may claim; an attribute that is left out may not be claimed at all."""

    roles = Key(ListOf(VALUE_TEXT), "Roles that it may assert.")
    groups = Key(ListOf(VALUE_TEXT), "Groups that it may assert.")
    scopes = Key(ListOf(VALUE_TEXT), "Scopes that it may assert.")


MayAssertWritten: TypeAlias = Scalar | MayAssertText
_MAY_ASSERT: Shape[MayAssertWritten] = OneOf(Choice(("all", "none"), "a mapping"), RecordOf(lambda: MayAssertText))
_MAY_ASSERT_DOC = "What its credentials may claim, the rest is dropped. Required when there are several providers."

AudiencesWritten: TypeAlias = Scalar | tuple[Scalar, ...]
_ANY_AUDIENCE: Shape[AudiencesWritten] = Choice(("any",), "a list")
_AUDIENCES: Shape[AudiencesWritten] = OneOf(_ANY_AUDIENCE, ListOf(VALUE_TEXT))


class JwtProviderText(Record):
    """An issuer of JWTs."""

    issuer = Key(VALUE_TEXT, "The issuer, compared exactly with a token's `iss`.", required=True)
    audiences = Key(
        _AUDIENCES, "One of these must be in a token's `aud`; `any` accepts tokens meant for others.", required=True
    )
    algorithms = Key(ListOf(VALUE_TEXT), "The signature algorithms that are accepted (RFC 7518).", required=True)
    jwks = Key(RecordOf(lambda: KeySetText), "The public keys; either this or secret_file.")
    secret_file = Key(
        VALUE_TEXT, "A file with the secret of HMAC algorithms; a line break at its end is not part of it."
    )
    tokens = Key(
        ListOf(RecordOf(lambda: TokenText)), "Where tokens stand; by default in `authorization` after `Bearer`."
    )
    clock_skew = Key(
        Text(substitutes=True, example="30s"), "How far clocks may differ, as in 30s, at most 10m; by default 30s."
    )
    claims = Key(RecordOf(lambda: ClaimsText), "Where the principal comes from.")
    may_assert = Key(_MAY_ASSERT, _MAY_ASSERT_DOC)


class ApiKeysText(Record):
    """API keys, as SHA-256 hashes with a subject and roles."""

    file = Key(
        VALUE_TEXT, "A YAML list of {sha256, subject, roles, groups, scopes}, relative to this file.", required=True
    )
    header = Key(VALUE_TEXT, "The header that carries the key; by default x-api-key.")


class ApiKeyProviderText(Record):
    """Callers that are known by a key."""

    api_keys = Key(RecordOf(lambda: ApiKeysText), "The keys and where they stand.", required=True)
    may_assert = Key(_MAY_ASSERT, _MAY_ASSERT_DOC)


ProviderWritten: TypeAlias = JwtProviderText | ApiKeyProviderText
_PROVIDER: Shape[ProviderWritten] = ByKey(
    "api_keys", RecordOf(lambda: ApiKeyProviderText), RecordOf(lambda: JwtProviderText)
)


class ApiKeyText(Record):
    """One key of an API key file."""

    sha256 = Key(
        Text(pattern="[0-9a-fA-F]{64}", form="a SHA-256 hash: 64 hexadecimal digits"),
        "The hash of the key, as `printf %s KEY | sha256sum` prints it.",
        required=True,
    )
    subject = Key(NAME, "Who holds the key.", required=True)
    roles = Key(ListOf(NAME), "Roles of the holder.")
    groups = Key(ListOf(NAME), "Groups of the holder.")
    scopes = Key(ListOf(NAME), "Scopes of the holder.")


API_KEYS = ListOf(RecordOf(lambda: ApiKeyText))


# --- Roles and bindings --------------------------------------------------------------------------------------------


class RoleText(Record):
    """A role: what its holders are permitted, and which roles' permissions they have besides."""

    inherits = Key(ListOf(TEXT), "Roles whose permissions it has as well.")
    permissions = Key(ListOf(NAME), "Permissions: literal, or with a final `:*`, or `*` alone.")


class BindingSubjectText(Record):
    """Who is bound; the keys of one item are ANDed."""

    subject = Key(TEXT, "The caller of this name.")
    group = Key(TEXT, "Every member of this group.")
    provider = Key(TEXT, "Every caller that this provider vouches for.")
    workload = Key(TEXT, "The mTLS peer of this SPIFFE ID, where authentication is none; a final /** matches below.")


class BindingText(Record):
    """Gives a role to callers."""

    role = Key(TEXT, "The role that is given.", required=True)
    subjects = Key(ListOf(RecordOf(lambda: BindingSubjectText)), "Who gets it: any of these.")
    provider = Key(TEXT, "The provider that must vouch for them.")
    when = Key(CEL, "A CEL condition that scopes the role; it may not read principal.roles.")


# --- Rules ---------------------------------------------------------------------------------------------------------


class RuleText(Record):
    """A rule: all of its keys must hold; a list as a value means any of them."""

    name = Key(NAME, "Names the rule in decisions and logs; by default its position in the list.")
    anyone = Key(Flag(may_be_false=False), "Always holds; not where authentication is required.")
    authenticated = Key(Flag(may_be_false=False), "A credential was verified.")
    role = Key(OneOrMany(TEXT), "The caller has the role.")
    permission = Key(OneOrMany(NAME), "The caller has a role that grants the permission.")
    scope = Key(OneOrMany(NAME), "The token has the scope.")
    group = Key(OneOrMany(NAME), "The caller is in the group.")
    subject = Key(OneOrMany(TEXT), "The caller has this name; with several providers also write `provider`.")
    provider = Key(OneOrMany(TEXT), "The provider vouches for the caller.")
    workload = Key(OneOrMany(TEXT), "The mTLS peer has the SPIFFE ID; a final /** matches below.")
    remote_ip = Key(OneOrMany(TEXT), "The client's address, past trusted proxies, is in the network.")
    direct_remote_ip = Key(OneOrMany(TEXT), "The connection's peer address is in the network.")
    when = Key(CEL, "The CEL condition is true.")
    rego = Key(REGO_RULE, "The Rego rule is true; it stands in a *.rego file of the set.")


_RULES = ListOf(RecordOf(lambda: RuleText))


# --- Routes --------------------------------------------------------------------------------------------------------


class OriginsText(Record):
    """Cross-origin callers whose preflight requests pass."""

    origins = Key(ListOf(TEXT), "Origins as in https://app.example; `*` alone is any origin.", required=True)


CorsWritten: TypeAlias = Scalar | OriginsText
_CORS: Shape[CorsWritten] = OneOf(Choice(("none",), "a mapping"), RecordOf(lambda: OriginsText))
_UPSTREAM_HEADERS: Shape[UpstreamHeadersText] = RecordOf(lambda: UpstreamHeadersText)
_CORS_DOC = "Whose preflight requests pass without credentials and rules; `none` undoes an outer one."
RouteWritten: TypeAlias = "RouteText | GroupItemText"
_ROUTES: Shape[tuple[RouteWritten, ...]] = ListOf(
    ByKey("group", RecordOf(lambda: GroupItemText), RecordOf(lambda: RouteText))
)
_AUTHENTICATION = Choice(("required", "optional", "none"))
_HEADER_TEMPLATES = MapOf(TEXT, TEXT)
_HOST_DOC = "A host as in shop.example, or *.shop.example for every host below it, or * for any."


class UpstreamHeadersText(Record):
    """What the requests that are passed on carry. A header that is set anywhere is never taken from the caller."""

    set = Key(_HEADER_TEMPLATES, "Headers and their values; {principal.x}, {claims.x} and {path.x} are replaced.")
    remove = Key(ListOf(TEXT), "Headers that are not passed on.")


class DecisionText(Record):
    """What decides about the requests of a route as a whole, in the place of allow rules."""

    rego = Key(REGO_RULE, "The Rego rule: a boolean, or an object with `allowed`, headers, status...", required=True)
    headers = Key(ListOf(TEXT), "The headers that it may put upstream: they are never taken from the caller.")


class RouteText(Record):
    """A path with its methods, and who may use it."""

    name = Key(NAME, "Names the route in decisions and logs; by default its methods and path.")
    path = Key(TEXT, "The path: literal segments, {x} for one segment, a final ** (or {x=**}) for any rest.")
    grpc = Key(
        Text(
            pattern=r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/(?:[A-Za-z_][A-Za-z0-9_]*|\*)",
            form="a gRPC method: package.Service/Method, or package.Service/*",
        ),
        "A gRPC method instead of a path: package.Service/Method, or package.Service/*.",
    )
    methods = Key(ListOf(TEXT), "HTTP methods; GET includes HEAD. By default any but CONNECT and TRACE.")
    host = Key(VALUE_TEXT, _HOST_DOC)
    public = Key(Flag(), "Anyone may pass, and credentials are not looked at.")
    authentication = Key(_AUTHENTICATION, "Whether a credential is required (default), optional, or not looked at.")
    providers = Key(ListOf(TEXT), "Whose credentials count here.")
    cors = Key(_CORS, _CORS_DOC)
    deny = Key(_RULES, "Any of these denies, an error included.")
    require = Key(_RULES, "Each of these must hold.")
    allow = Key(_RULES, "One of these must hold.")
    decision = Key(
        RecordOf(lambda: DecisionText), "What decides instead of allow rules; deny and require rules hold beside it."
    )
    upstream_headers = Key(_UPSTREAM_HEADERS, "Added to the outer ones; an entry here wins.")


class GroupText(Record):
    """Routes with a prefix and rules in common. Rules add up; the other keys are defaults for its routes."""

    name = Key(NAME, "Names the group in its rules' ids; by default its prefix.")
    prefix = Key(TEXT, "Stands before the path of every route.")
    host = Key(VALUE_TEXT, _HOST_DOC)
    authentication = Key(_AUTHENTICATION, "As on a route.")
    providers = Key(ListOf(TEXT), "As on a route.")
    cors = Key(_CORS, _CORS_DOC)
    deny = Key(_RULES, "Any of these denies, on each of the routes.")
    require = Key(_RULES, "Each of these must hold, on each of the routes.")
    allow = Key(_RULES, "One of these, or of the route's own, must hold.")
    upstream_headers = Key(_UPSTREAM_HEADERS, "Added to the outer ones; an entry here wins.")
    routes = Key(_ROUTES, "The routes; groups may hold groups.", required=True)


class GroupItemText(Record):
    """A group among the routes."""

    group = Key(RecordOf(lambda: GroupText), "Routes with a prefix and rules in common.", required=True)


# --- The file ------------------------------------------------------------------------------------------------------

_READING = Choice(("reject", "keep"))


class PathsText(Record):
    """How request paths are read. What is `keep` is matched as it stands; `reject` answers 400."""

    encoded_slash = Key(_READING, "%2F and %5C.")
    double_encoding = Key(_READING, "%25 before two hexadecimal digits.")
    repeated_slash = Key(_READING, "Two slashes in a row.")
    dot_segments = Key(_READING, "The segments . and .. .")
    parameters = Key(_READING, "A semicolon, raw or encoded.")
    trailing_slash = Key(Choice(("same", "distinct")), "Whether /a/ is the path /a.")


class DefaultsText(Record):
    """What routes and groups have that do not say otherwise."""

    host = Key(VALUE_TEXT, _HOST_DOC)
    providers = Key(ListOf(TEXT), "Whose credentials count; by default those of all providers.")
    authentication = Key(_AUTHENTICATION, "Whether a credential is required (default), optional, or not looked at.")
    cors = Key(_CORS, _CORS_DOC)


class ResponsesText(Record):
    """How denials look to callers."""

    format = Key(Choice(("problem", "text", "empty")), "The body: problem details (RFC 9457, default), text, or none.")
    realm = Key(
        Text(pattern=r"[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?", form="a realm: visible ASCII without quotes"),
        "The realm of WWW-Authenticate (RFC 9110 section 11.5).",
    )
    resource_metadata = Key(TEXT, "The URL of this resource's metadata (RFC 9728).")


class PolicyText(Record):
    """A policy set, or one of its files: maps of several files merge, lists add up, scalars must agree."""

    version = Key(Number((1,), Code.VERSION), "The version of the policy language.")
    name = Key(NAME, "Names the set in logs.")
    providers = Key(MapOf(_PROVIDER, NAME), "Who vouches for callers.")
    roles = Key(MapOf(RecordOf(lambda: RoleText), NAME), "What callers can be.")
    bindings = Key(ListOf(RecordOf(lambda: BindingText)), "Which callers have which roles.")
    trust_domains = Key(
        ListOf(Text(pattern=r"[a-z0-9._-]{1,255}", form="a SPIFFE trust domain: lower-case letters, digits, . _ -")),
        "SPIFFE trust domains whose workloads are believed.",
    )
    trusted_proxies = Key(ListOf(TEXT), "Networks whose entries in x-forwarded-for are believed.")
    variables = Key(MapOf(CEL, IDENTIFIER), "CEL expressions that conditions read as variables.NAME.")
    paths = Key(RecordOf(lambda: PathsText), "How request paths are read.")
    defaults = Key(RecordOf(lambda: DefaultsText), "What routes have that do not say otherwise.")
    deny = Key(_RULES, "Any of these denies, on every route.")
    require = Key(_RULES, "Each of these must hold, on every route.")
    allow = Key(_RULES, "Each of these allows, on every route that is not public, besides the route's own.")
    routes = Key(_ROUTES, "The paths that there are; a request for any other is denied.")
    upstream_headers = Key(_UPSTREAM_HEADERS, "For every route; a route's own entries win.")
    responses = Key(RecordOf(lambda: ResponsesText), "How denials look.")


POLICY = RecordOf(lambda: PolicyText, ignores_extensions=True)
