"""The keys of a provider: a JWK Set from a file, inline or a URL, or a shared secret.

Only what concerns the policy's text is checked here: that there is exactly one source, that addresses are safe, that a
JWK Set is one. What the keys are worth is checked where tokens are verified.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.files import Files, joined_path
from extauthz.languages.policy_yaml.language import JwtProviderText, KeySetText
from extauthz.languages.policy_yaml.networks import http_url, is_loopback
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.provider import KeySource, RemoteKeys, SharedSecret, StaticKeys

if TYPE_CHECKING:
    from extauthz.model.access import JsonValue

_SOURCES = ("uri", "file", "inline", "discovery")
# What a text editor leaves at the end of a secret that is text.
_TEXT_SECRET = re.compile(rb"([ -~]+)\r?\n")


class KeyReader:
    """Reads the keys of providers."""

    def __init__(self, files: Files, report: Report) -> None:
        self._files = files
        self._report = report

    def read(self, provider: JwtProviderText) -> KeySource | None:
        """The keys, or None after reporting why there are none."""
        if provider.wrote("jwks") and provider.wrote("secret_file"):
            message = "a provider has either `jwks` or `secret_file`"
            self._report.error(Code.EXCLUSIVE_KEYS, provider.place("secret_file"), message)
            return None
        if provider.secret_file is not None:
            return self._secret(provider.secret_file)
        if provider.jwks is not None:
            return self._key_set(provider.jwks, provider)
        if not provider.wrote("jwks") and not provider.wrote("secret_file"):
            message = "the provider has no keys: `jwks` is missing"
            hint = "write `jwks: {uri: ...}`, or one of file, inline and discovery"
            self._report.error(Code.MISSING_KEY, provider.owner, message, hint)
        return None

    def _secret(self, name: Scalar) -> SharedSecret | None:
        content = self._files.read(name)
        if content is None:
            return None
        text = _TEXT_SECRET.fullmatch(content)
        secret = text[1] if text else content
        if not secret.strip():
            self._report.error(Code.KEY_SET, name, "the secret is empty")
            return None
        return SharedSecret(secret)

    def _key_set(self, written: KeySetText, provider: JwtProviderText) -> KeySource | None:
        sources = [name for name in _SOURCES if written.wrote(name)]
        if len(sources) != 1:
            message = "exactly one of uri, file, inline and discovery says where the keys are"
            self._report.error(Code.EXCLUSIVE_KEYS, written.place(sources[1]) if sources else written.owner, message)
            return None
        if sources[0] in {"file", "inline"}:
            for name in ("ca_file", "allow_http"):
                if written.wrote(name):
                    message = f"{quoted(name)} is about fetching keys, and these are not fetched"
                    self._report.error(Code.EXCLUSIVE_KEYS, written.place(name), message)
        if written.file is not None:
            return self._from_file(written.file)
        if written.inline is not None:
            return self._static(written.inline[1], written.inline[0], "inline")
        return self._remote(written, provider)

    def _remote(self, written: KeySetText, provider: JwtProviderText) -> RemoteKeys | None:
        allow_http = written.allow_http is not None and written.allow_http.value is True
        address = written.uri if written.wrote("uri") else provider.issuer
        if address is None or not self._is_safe(address, allow_http=allow_http):
            return None
        ca_file = joined_path(written.ca_file) if written.ca_file is not None else None
        return RemoteKeys(written.uri.text if written.uri is not None else None, ca_file, allow_http)

    def _is_safe(self, address: Scalar, *, allow_http: bool) -> bool:
        url = http_url(address.text)
        if url is None:
            hint = "write https://HOST/PATH, without user information and fragment"
            self._report.error(Code.KEY_SET, address, f"keys cannot be fetched from {quoted(address.text)}", hint)
            return False
        if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
            hint = "use https, or write `allow_http: true` beside it when the network is trusted"
            self._report.error(Code.KEY_SET, address, "keys fetched over plain http can be replaced on the way", hint)
            return False
        return True

    def _from_file(self, name: Scalar) -> StaticKeys | None:
        content = self._files.read(name)
        if content is None:
            return None
        try:
            value = _parse_json(content)
        except ValueError as error:
            self._report.error(Code.KEY_SET, name, f"{quoted(name.text)} is not JSON: {error}")
            return None
        return self._static(value, name, name.text)

    def _static(self, value: JsonValue, place: AnyNode, origin: str) -> StaticKeys | None:
        keys = value.get("keys") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            message = f"{origin if origin == 'inline' else quoted(origin)} is not a JWK Set"
            self._report.error(Code.KEY_SET, place, message, 'a JWK Set is {"keys": [{"kty": ...}]} (RFC 7517)')
            return None
        if not keys:
            self._report.error(Code.KEY_SET, place, "the JWK Set has no keys, so no token would ever verify")
            return None
        return StaticKeys(value, origin)


def _parse_json(content: bytes) -> JsonValue:
    """JSON without duplicate keys, numbers that are none, and nesting without bound (ValueError)."""
    try:
        text = content.decode("utf-8-sig")
        value: JsonValue = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _without_duplicates(pairs: list[tuple[str, JsonValue]]) -> JsonValue:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
