"""Providers: who vouches for callers, how far they are believed, and where their credentials stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.files import Files
from extauthz.languages.policy_yaml.keys import KeyReader
from extauthz.languages.policy_yaml.language import (
    ClaimPathText,
    ClaimPathWritten,
    ClaimsText,
    JwtProviderText,
    MayAssertText,
    ProviderWritten,
    TokenText,
)
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.shapes import Entry, texts
from extauthz.model.provider import ClaimMapping, ClaimPath, MayAssert, Provider, TokenLocation

# RFC 7518 section 3.1 and RFC 8037 section 3.1.
HMAC_ALGORITHMS = ("HS256", "HS384", "HS512")
PUBLIC_KEY_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
DEFAULT_TOKENS = (TokenLocation(header="authorization", scheme="Bearer"),)
DEFAULT_CLOCK_SKEW_SECONDS = 30.0
MAX_CLOCK_SKEW_SECONDS = 600.0

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_DURATION = re.compile(r"([0-9]{1,6})(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ProviderReader:
    """Reads the providers of a set."""

    def __init__(
        self, entries: Sequence[Entry[ProviderWritten]], roles: Iterable[str], files: Files, report: Report
    ) -> None:
        self._entries = entries
        self._roles = frozenset(roles)
        self._keys = KeyReader(files, report)
        self._report = report

    def read(self) -> tuple[Provider, ...]:
        """The issuers of JWTs that could be read; what is wrong with the others is reported."""
        self._refuse_equal_issuers()
        providers = [
            self._provider(entry.key, entry.value)
            for entry in self._entries
            if isinstance(entry.value, JwtProviderText)
        ]
        return tuple(provider for provider in providers if provider is not None)

    def may_assert(self, entry: Entry[ProviderWritten]) -> MayAssert:
        """How far a provider is believed; it must be written when there are several."""
        written = entry.value.may_assert if entry.value is not None else None
        if written is None:
            if len(self._entries) > 1 and entry.value is not None and not entry.value.wrote("may_assert"):
                message = f"the provider {quoted(entry.name)} does not say what it may assert"
                hint = "with several providers write `may_assert: all`, `none`, or `{roles: [...]}`"
                self._report.error(Code.MAY_ASSERT, entry.key, message, hint)
            return MayAssert()
        if isinstance(written, Scalar):
            return MayAssert() if written.text == "all" else MayAssert(frozenset(), frozenset(), frozenset())
        return self._may_assert_some(written)

    def _may_assert_some(self, written: MayAssertText) -> MayAssert:
        if not written.node.entries:
            self._report.error(Code.EMPTY, written.owner, "`may_assert` is empty", "write `may_assert: none`")
        for scalar in written.roles or ():
            if scalar.text not in self._roles:
                self._report.unknown(Code.UNKNOWN_ROLE, scalar, "role", self._roles)
        return MayAssert(*(frozenset(texts(names)) for names in (written.roles, written.groups, written.scopes)))

    def _refuse_equal_issuers(self) -> None:
        known: dict[str, str] = {}
        for entry in self._entries:
            issuer = entry.value.issuer if isinstance(entry.value, JwtProviderText) else None
            if issuer is None:
                continue
            first = known.setdefault(issuer.text, entry.name)
            if first != entry.name:
                message = f"the provider {quoted(first)} has the same issuer"
                hint = "a token's issuer picks its provider, so each issuer has one"
                self._report.error(Code.DUPLICATE_ISSUER, issuer, message, hint)

    def _provider(self, name: Scalar, written: JwtProviderText) -> Provider | None:
        keys = self._keys.read(written)
        algorithms = self._algorithms(written)
        tokens = tuple(location for token in written.tokens or () if (location := self._token(token)) is not None)
        clock_skew = self._clock_skew(written.clock_skew)
        claims = self._claims(written.claims)
        may_assert = self.may_assert(Entry(name, written))
        audiences = self._audiences(written)
        if keys is None or written.issuer is None:
            return None
        return Provider(
            name=name.text,
            issuer=written.issuer.text,
            audiences=audiences,
            algorithms=algorithms,
            keys=keys,
            tokens=tokens if written.wrote("tokens") else DEFAULT_TOKENS,
            claims=claims,
            may_assert=may_assert,
            clock_skew_seconds=clock_skew,
            span=name.span,
        )

    def _audiences(self, written: JwtProviderText) -> tuple[str, ...] | None:
        audiences = written.audiences
        if isinstance(audiences, Scalar):
            message = "tokens that were issued for other services are accepted as well"
            hint = "name this service's audience, so that a token stolen elsewhere is worth nothing here"
            self._report.warning(Code.AUDIENCES_ANY, audiences, message, hint)
            return None
        for scalar in audiences or ():
            if scalar.text == "any":
                message = "'any' in a list is an audience of that name"
                self._report.error(Code.MALFORMED, scalar, message, "write `audiences: any` for every audience")
        return texts(audiences)

    def _algorithms(self, written: JwtProviderText) -> tuple[str, ...]:
        names = written.algorithms or ()
        asymmetric = [scalar for scalar in names if scalar.text in PUBLIC_KEY_ALGORITHMS]
        for scalar in names:
            if scalar.text.lower() == "none":
                message = "a token without a signature can be written by anybody"
                self._report.error(Code.ALGORITHM, scalar, message, "name the algorithms of the issuer's keys")
            elif scalar.text in HMAC_ALGORITHMS:
                self._check_hmac(scalar, written, beside_others=bool(asymmetric))
            elif scalar.text not in PUBLIC_KEY_ALGORITHMS:
                hint = self._report.suggest(scalar.text, (*PUBLIC_KEY_ALGORITHMS, *HMAC_ALGORITHMS))
                self._report.error(
                    Code.ALGORITHM, scalar, f"{quoted(scalar.text)} is not an algorithm known here", hint
                )
            elif written.wrote("secret_file"):
                message = f"{quoted(scalar.text)} verifies with a public key, and `secret_file` holds none"
                self._report.error(Code.ALGORITHM, scalar, message, "use HS256, HS384 or HS512")
        return texts(names)

    def _check_hmac(self, scalar: Scalar, written: JwtProviderText, *, beside_others: bool) -> None:
        if beside_others:
            # Key confusion: a public key taken for the secret (RFC 8725 section 2.1).
            message = f"{quoted(scalar.text)} cannot stand beside algorithms with public keys"
            self._report.error(Code.ALGORITHM, scalar, message, "whoever knows the public key could sign with it")
        elif not written.wrote("secret_file"):
            message = f"{quoted(scalar.text)} needs a shared secret"
            self._report.error(Code.ALGORITHM, scalar, message, "write `secret_file` instead of `jwks`")

    def _token(self, written: TokenText) -> TokenLocation | None:
        if written.wrote("header") == written.wrote("cookie"):
            message = "a token stands either in a `header` or in a `cookie`"
            self._report.error(Code.EXCLUSIVE_KEYS, written.owner, message)
            return None
        if written.wrote("cookie") and written.wrote("scheme"):
            message = "a cookie holds the token alone, without a scheme"
            self._report.error(Code.EXCLUSIVE_KEYS, written.place("scheme"), message)
            return None
        names = {name: self._http_token(scalar) for name, scalar in self._token_parts(written) if scalar is not None}
        if None in names.values():
            return None
        header = names.get("header")
        return TokenLocation(header.lower() if header else None, names.get("scheme"), names.get("cookie"))

    @staticmethod
    def _token_parts(written: TokenText) -> tuple[tuple[str, Scalar | None], ...]:
        return ("header", written.header), ("scheme", written.scheme), ("cookie", written.cookie)

    def _http_token(self, scalar: Scalar) -> str | None:
        if _TOKEN.fullmatch(scalar.text):
            return scalar.text
        self._report.error(Code.MALFORMED, scalar, f"{quoted(scalar.text)} is not a name in HTTP (RFC 9110)")
        return None

    def _clock_skew(self, written: Scalar | None) -> float:
        if written is None:
            return DEFAULT_CLOCK_SKEW_SECONDS
        match = _DURATION.fullmatch(written.text)
        if match is None:
            message = f"{quoted(written.text)} is not a duration"
            self._report.error(Code.MALFORMED, written, message, "a number and ms, s or m, as in 30s")
            return DEFAULT_CLOCK_SKEW_SECONDS
        seconds = int(match[1]) * _SECONDS[match[2]]
        if seconds > MAX_CLOCK_SKEW_SECONDS:
            message = "a clock skew of more than 10m lets expired tokens live on"
            self._report.error(Code.MALFORMED, written, message, "let clocks be synchronised instead")
        return seconds

    def _claims(self, written: ClaimsText | None) -> ClaimMapping:
        if written is None:
            return ClaimMapping()
        subject = self._claim_path(written.subject) if written.subject is not None else None
        if subject is not None and "*" in subject.keys:
            message = "a caller has one subject, so its path cannot walk a list"
            self._report.error(Code.MALFORMED, written.place("subject"), message)
        roles, groups, scopes = (
            tuple(path for item in written_paths or () if (path := self._claim_path(item)) is not None)
            for written_paths in (written.roles, written.groups, written.scopes)
        )
        return ClaimMapping(subject or ClaimMapping().subject, roles, groups, scopes)

    def _claim_path(self, written: ClaimPathWritten) -> ClaimPath | None:
        if isinstance(written, ClaimPathText):
            return ClaimPath(texts(written.path)) if written.path else None
        keys = tuple(written.text.split("."))
        if all(keys):
            return ClaimPath(keys)
        message = f"{quoted(written.text)} is not a dotted path"
        self._report.error(Code.MALFORMED, written, message, "keys with dots are written {path: [key, key]}")
        return None


def refuse_shared_locations(locations: Mapping[str, AnyNode], providers: Iterable[Provider], report: Report) -> None:
    """An API key's header that also carries tokens: the two could not be told apart.

    Args:
        locations: the headers of API keys with where they are written.
        providers: whose tokens may stand in headers.
        report: where a header that is both is reported.
    """
    for provider in providers:
        for token in provider.tokens:
            place = locations.get(token.header or "")
            if place is not None:
                message = f"tokens of {quoted(provider.name)} stand in the same header"
                report.error(Code.CREDENTIAL_LOCATION, place, message, "give API keys a header of their own")
                return
