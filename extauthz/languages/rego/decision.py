"""A Rego rule that decides about requests as a whole: its value is a boolean, or opa-envoy-plugin's decision document.

The document's keys mean what they mean there, under the law of a policy set: what is not exactly as it should be is an
error, and an error denies. Beyond what the plugin refuses, these are errors here:

- a header for the upstream that the route does not list: only listed ones are taken from callers beforehand;
- the removal of a header that the route sets or lists, and any header that belongs to the connection or the proxy;
- values that a server could read as more than they are: bytes beyond visible ASCII, a comma in a list for one header;
- a denial with a status below 300, and dynamic metadata under a key that every decision has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

from extauthz.languages.header_names import is_header_name, is_reserved
from extauthz.languages.rego.condition import RegoCondition
from extauthz.languages.rego.facts_input import FactPath
from extauthz.languages.rego.failure import RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.input_document import InputRefusedError
from extauthz.languages.rego.value import UNDEFINED, Value
from extauthz.model.access import Facts, JsonValue
from extauthz.model.decision import METADATA_KEYS, HeaderChanges, Judgment, Outcome, ReplyDetails
from extauthz.model.source import Span

STATUSES: Final = frozenset(
    {*range(300, 306), 307, 308, *range(400, 418), 421, 422, 423, 424, 426, 428, 429, 431, *range(500, 509), 510, 511}
)
"""Of a denial: what Envoy knows (type.v3.StatusCode), from 300 on."""

_MEMO_KEY: Final = "rego decision"
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_QUERY_NAME = re.compile(r"[ -~]+")

_ERRORED: Final = Judgment(Outcome.ERRORED)
_OUT_OF_TIME: Final = Judgment(Outcome.ERRORED, could_not_decide=True)
_SILENT: Final = Judgment(Outcome.UNSATISFIED)


class DocumentError(Exception):
    """A decision that is not what a decision must be; the message names keys, never values."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RegoDecision:
    """Satisfies `extauthz.model.policy.WholeDecision`. Safe to share between threads."""

    rule: RegoCondition
    """Evaluated for its value."""
    headers: tuple[str, ...]
    """What it may put upstream, lower case."""

    @property
    def text(self) -> str:
        return self.rule.text

    @property
    def span(self) -> Span:
        return self.rule.span

    @property
    def reads(self) -> frozenset[FactPath]:
        return self.rule.reads

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for decisions that come to the same on every request, in whatever set."""
        return "decision", *self.rule.identity[1:], *self.headers

    def evaluate(self, facts: Facts) -> Outcome:
        """Whether it allows; never raises."""
        return self.judge(facts).outcome

    def judge(self, facts: Facts) -> Judgment:
        """All that it says of one request, evaluated once; never raises."""
        kept = facts.memo.get(_MEMO_KEY)
        if kept is None:
            kept = facts.memo[_MEMO_KEY] = self._judge(facts)
        return cast("Judgment", kept)

    def _judge(self, facts: Facts) -> Judgment:
        try:
            return judgment_of(self.rule.value(facts), self.headers)
        except RegoLimitError:
            return _OUT_OF_TIME
        except (RegoEvaluationError, InputRefusedError, DocumentError):
            return _ERRORED

    def __repr__(self) -> str:
        return f"RegoDecision({self.text!r})"


def judgment_of(value: Value, headers: Collection[str]) -> Judgment:
    """What the value of a rule says.

    Args:
        value: as JSON; UNDEFINED says nothing.
        headers: the headers that it may put upstream.

    Raises:
        DocumentError: it is no decision.
    """
    if value is UNDEFINED:
        return _SILENT
    if type(value) is bool:
        return Judgment(Outcome.SATISFIED if value else Outcome.UNSATISFIED, ReplyDetails())
    allowed = value.get("allowed") if type(value) is dict else None
    if type(allowed) is not bool:
        raise DocumentError("a decision is a boolean, or an object with a boolean `allowed`")
    return _allowing(value, headers) if allowed else _denying(value)


def _allowing(document: dict[str, Value], listed: Collection[str]) -> Judgment:
    upstream: list[tuple[str, str]] = []
    removed = set(_names(document, "request_headers_to_remove"))
    if any(is_reserved(name) or name in listed for name in removed):
        raise DocumentError("request_headers_to_remove: a header that is not to be removed")
    for name, values in _headers(document, "headers").items():
        if name not in listed:
            raise DocumentError("headers: a header that the route does not list")
        if any("," in value for value in values[1:]) or (len(values) > 1 and "," in values[0]):
            raise DocumentError("headers: an element of a list with a comma")
        if values:
            upstream.append((name, ",".join(values)))
    added = tuple((name, value) for name, values in _added(document, "response_headers_to_add") for value in values)
    details = ReplyDetails(
        headers=added,
        query_set=tuple(_query_parameters(document)),
        query_remove=tuple(_texts(document, "query_parameters_to_remove")),
        metadata=_metadata(document),
    )
    return Judgment(Outcome.SATISFIED, details, HeaderChanges(tuple(upstream), tuple(sorted(removed))))


def _denying(document: dict[str, Value]) -> Judgment:
    status = document.get("http_status")
    if "http_status" in document and (type(status) is not int or status not in STATUSES):
        raise DocumentError("http_status: not the status of a denial")
    body = document.get("body")
    if "body" in document and type(body) is not str:
        raise DocumentError("body: not a text")
    details = ReplyDetails(
        status=status,
        headers=tuple((name, value) for name, values in _added(document, "headers") for value in values),
        body=None if body is None else body.encode("utf-8", "replace").decode(),
        metadata=_metadata(document),
    )
    return Judgment(Outcome.UNSATISFIED, details)


# --- The keys of a document ----------------------------------------------------------------------------------------


def _headers(document: dict[str, Value], key: str) -> dict[str, list[str]]:
    """Headers by their lower-case names; empty values are none."""
    given = document.get(key, {})
    found: dict[str, list[str]] = {}
    for headers in given if type(given) is list else [given]:
        if type(headers) is not dict:
            raise DocumentError(f"{key}: not an object, or a list of them")
        for name, value in headers.items():
            values = [value] if type(value) is str else value
            if type(values) is not list or not all(type(one) is str for one in values):
                raise DocumentError(f"{key}: a value that is no text, or list of texts")
            if not is_header_name(name.lower()):
                raise DocumentError(f"{key}: not a header's name")
            if not all(one == "" or _VALUE.fullmatch(one) for one in values):
                raise DocumentError(f"{key}: a value that is not visible ASCII")
            found.setdefault(name.lower(), []).extend(one for one in values if one)
    return found


def _added(document: dict[str, Value], key: str) -> Iterable[tuple[str, list[str]]]:
    """Headers of the response."""
    headers = _headers(document, key)
    if any(is_reserved(name) for name in headers):
        raise DocumentError(f"{key}: a header that belongs to the connection or the proxy")
    return headers.items()


def _names(document: dict[str, Value], key: str) -> list[str]:
    names = [name.lower() for name in _texts(document, key)]
    if not all(map(is_header_name, names)):
        raise DocumentError(f"{key}: not a header's name")
    return names


def _texts(document: dict[str, Value], key: str) -> list[str]:
    given = document.get(key, [])
    if type(given) is not list or not all(type(one) is str and _QUERY_NAME.fullmatch(one) for one in given):
        raise DocumentError(f"{key}: not a list of texts")
    return given


def _query_parameters(document: dict[str, Value]) -> Iterator[tuple[str, str]]:
    given = document.get("query_parameters_to_set", {})
    if type(given) is not dict:
        raise DocumentError("query_parameters_to_set: not an object")
    for name, value in given.items():
        one = value[0] if type(value) is list and len(value) == 1 else value
        if type(one) is not str or not _QUERY_NAME.fullmatch(name) or not one.isascii():
            raise DocumentError("query_parameters_to_set: a value that is not one text")
        yield name, one


def _metadata(document: dict[str, Value]) -> dict[str, JsonValue]:
    given = document.get("dynamic_metadata", {})
    if type(given) is not dict or not METADATA_KEYS.isdisjoint(given):
        raise DocumentError("dynamic_metadata: not an object, or with a key that every decision has")
    return {name: _plain(value) for name, value in given.items()}


def _plain(value: Value) -> JsonValue:
    """As google.protobuf.Struct can hold it: numbers are doubles."""
    if type(value) is dict:
        return {name: _plain(member) for name, member in value.items()}
    if type(value) is list:
        return [_plain(member) for member in value]
    if type(value) is str:
        return value.encode("utf-8", "replace").decode()
    if value is None or type(value) is bool:
        return cast("JsonValue", value)
    return _double(value)


def _double(number: float | Decimal) -> float:
    try:
        double = float(number)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double):
        raise DocumentError("dynamic_metadata: a number beyond what a double holds")
    return double
