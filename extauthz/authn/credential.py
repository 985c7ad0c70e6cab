"""Which credential a request presents: at most one, or nobody can say who asks.

A header holds `scheme token` (RFC 9110 section 11.4), a bare token, or an API key; a cookie holds a bare token. Schemes
that no provider reads are somebody else's and count as none. A scheme of ours with nothing behind it is presented, and
malformed: the caller meant to authenticate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from extauthz.errors import CredentialsAmbiguousError
from extauthz.model.access import AccessRequest
from extauthz.model.provider import TokenLocation

_Place = TypeVar("_Place")


class CredentialFinder(Generic[_Place]):
    """Finds the one credential among the places where one may stand.

    `_Place` is whatever the caller wants back for the place that held it.
    """

    def __init__(self, tokens: Iterable[tuple[TokenLocation, _Place]], api_keys: Iterable[tuple[str, _Place]]) -> None:
        """Arrange the places by header.

        Args:
            tokens: where tokens stand, each location once.
            api_keys: the headers that hold API keys, lower case, each once.
        """
        self._cookies: dict[str, _Place] = {}
        self._headers: dict[str, _HeaderPlaces[_Place]] = {}
        for location, place in tokens:
            if location.cookie is not None:
                self._cookies[location.cookie] = place
            elif location.header is not None and location.scheme is not None:
                self._header(location.header).schemes[location.scheme.lower()] = place
            elif location.header is not None:
                self._header(location.header).bare.append(place)
        for header, place in api_keys:
            self._header(header).bare.append(place)
        for places in self._headers.values():
            places.seal()
        self._by_header = list(self._headers.items())

    def _header(self, name: str) -> _HeaderPlaces[_Place]:
        return self._headers.setdefault(name, _HeaderPlaces())

    def find(self, request: AccessRequest) -> tuple[_Place, str] | None:
        """The place that holds the credential, and the credential, maybe empty; None when nothing is presented.

        Raises:
            CredentialsAmbiguousError: more than one is presented, be they equal.
        """
        found: tuple[_Place, str] | None = None
        for header, places in self._by_header:
            for value in request.header_values(header):
                for presented in places.presented(value):
                    if found is not None:
                        raise CredentialsAmbiguousError("more than one credential is presented")
                    found = presented
        if self._cookies:
            for presented in self._in_cookies(request.header_values("cookie")):
                if found is not None:
                    raise CredentialsAmbiguousError("more than one credential is presented")
                found = presented
        return found

    def _in_cookies(self, values: Sequence[str]) -> Iterator[tuple[_Place, str]]:
        """RFC 6265 section 4.2.1: `name=value` pairs, separated by semicolons; names are compared exactly."""
        for pair in ";".join(values).split(";"):
            name, equals, value = pair.strip(" \t").partition("=")
            if equals and name in self._cookies:
                yield self._cookies[name], value


class _HeaderPlaces(Generic[_Place]):
    """The places within one header: after a scheme, or the whole value."""

    __slots__ = ("_joint", "bare", "schemes")

    def __init__(self) -> None:
        self._joint: re.Pattern[str] | None = None
        """Where a proxy joined repeated headers, as Envoy joins Authorization: at a comma before a scheme of ours. No
        token holds a comma."""
        self.schemes: dict[str, _Place] = {}
        """By lower-case scheme."""
        self.bare: list[_Place] = []
        """Two of them, a token's and an API key's, make every value without a known scheme ambiguous."""

    def seal(self) -> None:
        """Say that all schemes are there."""
        if self.schemes:
            schemes = "|".join(map(re.escape, self.schemes))
            self._joint = re.compile(rf",[ \t]*(?=(?:{schemes})(?:[ ,]|$))", re.IGNORECASE)

    def presented(self, value: str) -> Sequence[tuple[_Place, str]]:
        if self._joint is not None and "," in value:
            return [presented for part in self._joint.split(value) for presented in self._presented_alone(part)]
        return self._presented_alone(value)

    def _presented_alone(self, value: str) -> Sequence[tuple[_Place, str]]:
        scheme, _, rest = value.partition(" ")
        place = self.schemes.get(scheme.lower())
        if place is None:
            return [(bare, value) for bare in self.bare]
        return ((place, rest.lstrip(" ")),)
