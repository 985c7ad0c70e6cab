"""The language of test files: every record, key and type, described once, by the shapes of the policy language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import NAME, TEXT
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.records import Key, Record, RecordOf
from extauthz.languages.policy_yaml.report import quoted
from extauthz.languages.policy_yaml.shapes import (
    AnyJson,
    Choice,
    Definitions,
    Flag,
    JsonSchema,
    ListOf,
    MapOf,
    OneOf,
    OneOrMany,
    Reading,
    Shape,
    Text,
    refuse_kind,
)
from extauthz.model.decision import Effect, Reason

_TOKEN_PATTERN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2, what methods and names are
HEADER_NAME = Text(pattern=_TOKEN_PATTERN, form="a header's name")
HEADER_VALUE = Text(pattern=r"[^\x00-\x08\x0a-\x1f\x7f]*", form="a header's value: no control characters")
DURATION = Text(pattern=r"-?[0-9]{1,9}[smhd]", form="a duration, as in 90s, 15m, 1h or -7d", example="1h")


@dataclass(frozen=True, slots=True)
class Status(Shape[Scalar]):
    """An HTTP status."""

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> Scalar | None:
        del owner
        if not isinstance(node, Scalar) or type(node.value) is not int or not 100 <= node.value <= 599:
            refuse_kind(node, reading, "an HTTP status, as in 200 or 403,")
            return None
        return node

    def schema(self, definitions: Definitions) -> JsonSchema:
        del definitions
        return {"type": "integer", "minimum": 100, "maximum": 599}


@dataclass(frozen=True, slots=True)
class Brief(Shape[Scalar]):
    """The short form of an expectation: an effect, a status, or a reason."""

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> Scalar | None:
        if isinstance(node, Scalar) and type(node.value) is int:
            return Status().read(node, reading, owner)
        words = [*Effect, *Reason]
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            refuse_kind(node, reading, "allow, deny, a status or a reason")
            return None
        if node.text not in words:
            message = f"allow, deny, a status or a reason is needed here, not {quoted(node.text)}"
            reading.report.error(Code.NOT_A_CHOICE, node, message, reading.report.closest(node.text, words))
            return None
        return node

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {"anyOf": [Status().schema(definitions), {"enum": [*Effect, *Reason]}]}


class PrincipalText(Record):
    """Who sends a request: a token to be minted, claims taken as verified, or the principal itself."""

    token = Key(AnyJson(), "Claims of a token that is signed for the test; the whole authentication runs.")
    expires_in = Key(DURATION, "With `token`: `exp` from the test's time on; negative for an expired one. [1h]")
    tampered = Key(Flag(may_be_false=False), "With `token`: its claims are changed after signing.")
    provider = Key(NAME, "Who vouches for the caller; may be left out where the set has one provider.")
    claims = Key(AnyJson(), "Claims taken as verified; alone, they are mapped as the provider says.")
    subject = Key(
        NAME,
        "The principal's subject, by default its name here; with it, or the next three, nothing is mapped from claims.",
    )
    roles = Key(OneOrMany(NAME), "The roles that the credential asserts.")
    groups = Key(OneOrMany(NAME), "The groups that the caller is in.")
    scopes = Key(OneOrMany(NAME), "The scopes of the token.")


class RequestText(Record):
    """What is sent: written down, or a captured CheckRequest."""

    capture = Key(TEXT, "A file with a CheckRequest, JSON or serialised, relative to this one; nothing else then.")
    method = Key(Text(pattern=_TOKEN_PATTERN, form="an HTTP method"), "The method; by default GET.")
    path = Key(TEXT, "The path, with its query, as sent.")
    grpc = Key(Text(pattern=r"[^\s/]+/[^\s/]+", form="a gRPC method: package.Service/Method"), "Instead of a path.")
    host = Key(TEXT, "The host; by default that of `defaults`, else the only one of the set.")
    scheme = Key(Choice(("http", "https")), "By default http.")
    headers = Key(MapOf(OneOrMany(HEADER_VALUE), HEADER_NAME), "Headers; a list repeats the header.")
    body = Key(Text(is_code=True), "The whole body.")
    json = Key(AnyJson(), "A body in JSON, with its content-type.")
    source = Key(TEXT, "The address of the connection's peer.")
    workload = Key(TEXT, "The SPIFFE ID of the connection's peer (mTLS).")
    context_extensions = Key(MapOf(TEXT, TEXT), "What the proxy's configuration adds for its route.")


PrincipalWritten: TypeAlias = Scalar | PrincipalText
RequestWritten: TypeAlias = Scalar | RequestText
_PRINCIPAL: Shape[PrincipalWritten] = OneOf(NAME, RecordOf(lambda: PrincipalText))
_REQUEST: Shape[RequestWritten] = OneOf(NAME, RecordOf(lambda: RequestText))
_NOW = Text(example="2026-03-02T10:00:00Z")
_NOW_DOC = "When: RFC 3339, with an offset."


class ExpectText(Record):
    """What must come of a request; what is left out does not matter."""

    effect = Key(Choice(tuple(Effect)), "allow or deny.")
    status = Key(Status(), "The HTTP status; 200 for what is allowed.")
    reason = Key(Choice(tuple(Reason), called="a reason"), "Why.")
    route = Key(NAME, "The route that decides.")
    rules = Key(OneOrMany(TEXT), "Exactly the rules that determine the effect, as in order.allow.owner.")
    errors = Key(OneOrMany(TEXT), "Exactly the rules that cannot be evaluated.")
    upstream = Key(MapOf(TEXT, HEADER_NAME), "Headers that the upstream gets, among others.")
    absent = Key(OneOrMany(HEADER_NAME), "Headers that the policy does not put upstream.")
    challenge = Key(TEXT, "WWW-Authenticate; `none` when there must be none.")


ExpectWritten: TypeAlias = Scalar | ExpectText
_EXPECT: Shape[ExpectWritten] = OneOf(Brief(), RecordOf(lambda: ExpectText))


class CaseText(Record):
    """One test."""

    name = Key(NAME, "What it shows.", required=True)
    now = Key(_NOW, _NOW_DOC)
    principal = Key(_PRINCIPAL, "Who asks: a name of `principals`, or written here; by default `anonymous`.")
    request = Key(_REQUEST, "What is asked: a name of `requests`, or written here.", required=True)
    expect = Key(_EXPECT, "What must come of it: allow, deny, a status, a reason, or a mapping.", required=True)


class TableText(Record):
    """Principals x requests, with what must come of each pair."""

    name = Key(NAME, "What it shows.", required=True)
    now = Key(_NOW, _NOW_DOC)
    expect = Key(
        MapOf(MapOf(_EXPECT, NAME), NAME),
        "By principal, then by request; every row has every column.",
        required=True,
    )


class DefaultsText(Record):
    """What requests and callers have that do not say otherwise."""

    host = Key(TEXT, "The host.")
    provider = Key(NAME, "Who vouches for callers.")
    source = Key(TEXT, "The address of the connection's peer.")


class SuiteText(Record):
    """A test file."""

    now = Key(_NOW, "When the tests take place. Needed where the policy reads the time.")
    defaults = Key(RecordOf(lambda: DefaultsText), "What requests and callers have that do not say otherwise.")
    principals = Key(MapOf(RecordOf(lambda: PrincipalText), NAME), "Callers by name; `anonymous` is always there.")
    requests = Key(MapOf(RecordOf(lambda: RequestText), NAME), "Requests by name.")
    tests = Key(ListOf(RecordOf(lambda: CaseText)), "The tests.")
    tables = Key(ListOf(RecordOf(lambda: TableText)), "Tables of tests.")


SUITE = RecordOf(lambda: SuiteText, ignores_extensions=True)


def suite_schema() -> JsonSchema:
    """The JSON Schema (2020-12) of one test file, self-contained, with descriptions, for editors."""
    definitions: Definitions = {}
    reference = SUITE.schema(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "extauthz policy tests",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }
