"""What must not be written down: tokens, cookies, keys and other secrets of a request, replaced where they stand.

A value is a secret by the name that it has (a header, a query parameter, a member of the body), or by what it looks
like (a JWT, or credentials after the name of an authentication scheme). What is a secret only in its application's
eyes is not found: records are for their owner's eyes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from extauthz.authn.strict_json import JsonRefusedError, parse_object
from extauthz.model.access import JsonValue

REDACTED: Final = "-redacted-"
"""In place of a secret, in a URL as well."""

_SECRET_NAME = re.compile(
    r"auth(?!or(?:s|ity|[-_]|$))|cookie|token|secret|passw|passphrase|pwd|api.?key|access.?key|private.?key|credential|session"
    r"|signature|jwt|[cx]srf|assertion|^(?:code|key|otp|pin|sid|sig|state|nonce)$",
    re.IGNORECASE,
)
_TOKEN_CLAIM = re.compile(r"(?:access|refresh|id|session)_?token|client_?secret|password|api_?key", re.IGNORECASE)
_TOKEN_START: Final = "eyJ"  # noqa: S105 - what tokens begin with
"""Where a JWS or JWE in compact form begins: the base64url of `{"`."""
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_CREDENTIALS = re.compile(r"\b(bearer|basic|digest|dpop|negotiate|ntlm|aws4-hmac-sha256)[ \t]+[^\s,;]+", re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a header, parameter or member of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def _is_token(word: str) -> bool:
    _, start, rest = word.partition(_TOKEN_START)
    return bool(start) and "." in rest


class Redaction:
    """Replaces the secrets of one request, and remembers where."""

    def __init__(self, credential_headers: Collection[str]) -> None:
        """Begin; these headers, by their lower-case names, are secrets whatever they are called."""
        self._credential_headers = credential_headers
        self.places: list[str] = []
        """What was replaced, as in `header:cookie`."""

    def header(self, name: str, value: str) -> str:
        """A header's value; `name` is in lower case."""
        if name in self._credential_headers or is_secret_name(name):
            return self._replaced(f"header:{name}")
        return self._text(value, f"header:{name}")

    def target(self, target: str) -> str:
        """A path with its query."""
        path, mark, query = target.partition("?")
        path = self._text(path, "path")
        return f"{path}{mark}{'&'.join(self._parameter(part) for part in query.split('&'))}"

    def claims(self, claims: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Verified claims: few names mean a secret here, but one may hold another token."""
        return {name: self._claim(name, value, f"claim:{name}") for name, value in claims.items()}

    def body(self, body: bytes) -> bytes | None:
        """A JSON object as a body, else None: of other contents it is not known what they hold."""
        try:
            read = parse_object(body)
        except JsonRefusedError:
            self._replaced("body")
            return None
        before = len(self.places)
        kept = {name: self._member(name, value) for name, value in read.items()}
        return body if len(self.places) == before else json.dumps(kept).encode()

    def text(self, name: str, text: str) -> str:
        """A text that the proxy's configuration calls so."""
        if is_secret_name(name):
            return self._replaced(name)
        return self._text(text, name)

    def _parameter(self, part: str) -> str:
        name, equals, value = part.partition("=")
        if value and is_secret_name(unquote_plus(name)):
            return f"{name}={self._replaced('query')}"
        return f"{self._text(name, 'query')}{equals}{self._text(value, 'query')}"

    def _member(self, name: str, value: JsonValue) -> JsonValue:
        if is_secret_name(name) and value is not None and not isinstance(value, bool):
            return self._replaced(f"body:{name}")
        if isinstance(value, Mapping):
            return {inner: self._member(inner, member) for inner, member in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._member(name, item) for item in value]
        return self._text(value, f"body:{name}") if isinstance(value, str) else value

    def _claim(self, name: str, value: JsonValue, place: str) -> JsonValue:
        if isinstance(value, str):
            return self._replaced(place) if _TOKEN_CLAIM.fullmatch(name) else self._text(value, place)
        if isinstance(value, Mapping):
            return {inner: self._claim(inner, member, place) for inner, member in value.items()}
        return [self._claim(name, item, place) for item in value] if isinstance(value, Sequence) else value

    def _text(self, text: str, place: str) -> str:
        """The text without what looks like a token or like credentials."""
        clean = text
        if _TOKEN_START in clean:
            clean = _WORD.sub(lambda word: REDACTED if _is_token(word[0]) else word[0], clean)
        if " " in clean or "\t" in clean:
            clean = _CREDENTIALS.sub(rf"\1 {REDACTED}", clean)
        if clean != text:
            self.places.append(place)
        return clean

    def _replaced(self, place: str) -> str:
        self.places.append(place)
        return REDACTED
