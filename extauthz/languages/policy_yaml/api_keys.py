"""API key providers: callers known by the SHA-256 of a key, from a file of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.files import Files, joined_path
from extauthz.languages.policy_yaml.language import API_KEYS, ApiKeyProviderText, ApiKeyText, ProviderWritten
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.providers import ProviderReader
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report, listed, quoted
from extauthz.languages.policy_yaml.shapes import Entry, Reading, texts
from extauthz.model.provider import ApiKey, ApiKeyProvider, MayAssert

DEFAULT_HEADER = "x-api-key"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2


class ApiKeyReader:
    """Reads API key providers and the files of their keys."""

    def __init__(self, roles: Iterable[str], providers: ProviderReader, files: Files, report: Report) -> None:
        self._roles = frozenset(roles)
        self._providers = providers
        self._files = files
        self._report = report
        self._seen: dict[str, ApiKeyText] = {}
        self.headers: dict[str, AnyNode] = {}
        """The headers that carry keys, with where they are written."""
        self.documents: list[AnyNode] = []

    def read(self, entries: Sequence[Entry[ProviderWritten]]) -> tuple[ApiKeyProvider, ...]:
        """The providers that could be read; what is wrong with the others is reported."""
        providers = [
            self._provider(entry, entry.value) for entry in entries if isinstance(entry.value, ApiKeyProviderText)
        ]
        return tuple(provider for provider in providers if provider is not None)

    def _provider(self, entry: Entry[ProviderWritten], written: ApiKeyProviderText) -> ApiKeyProvider | None:
        may_assert = self._providers.may_assert(entry)
        if written.api_keys is None:
            return None
        header = self._header(written.api_keys.header, written.api_keys.owner)
        file = written.api_keys.file
        if file is None:
            return None
        keys = [self._key(key, may_assert) for key in self._read_file(file)]
        return ApiKeyProvider(entry.name, header, tuple(key for key in keys if key is not None), entry.key.span)

    def _header(self, written: Scalar | None, owner: AnyNode) -> str:
        name = written.text.lower() if written is not None else DEFAULT_HEADER
        if written is not None and not _TOKEN.fullmatch(name):
            self._report.error(Code.MALFORMED, written, f"{quoted(written.text)} is not a header name")
        self.headers.setdefault(name, written or owner)
        return name

    def _read_file(self, file: Scalar) -> tuple[ApiKeyText, ...]:
        content = self._files.read(file)
        root = read_document(joined_path(file), content, self._report) if content is not None else None
        if root is None:
            return ()
        self.documents.append(root)
        return API_KEYS.read(root, Reading(self._report, {})) or ()

    def _key(self, written: ApiKeyText, may_assert: MayAssert) -> ApiKey | None:
        if written.sha256 is None or written.subject is None:
            return None
        sha256 = written.sha256.text.lower()
        first = self._seen.setdefault(sha256, written)
        if first is not written:
            message = f"the same key is listed at {first.owner.span}"
            self._report.error(Code.API_KEY, written.sha256, message, "a key has one holder")
        for scalar in written.roles or ():
            if scalar.text not in self._roles:
                self._report.unknown(Code.UNKNOWN_ROLE, scalar, "role", self._roles)
        return ApiKey(
            sha256,
            written.subject.text,
            self._within(written.roles, may_assert.roles, "roles"),
            self._within(written.groups, may_assert.groups, "groups"),
            self._within(written.scopes, may_assert.scopes, "scopes"),
        )

    def _within(self, written: Sequence[Scalar] | None, allowed: frozenset[str] | None, what: str) -> tuple[str, ...]:
        beyond = [scalar for scalar in written or () if allowed is not None and scalar.text not in allowed]
        if beyond:
            message = f"{listed(texts(beyond), 'and')} will be dropped: the provider may not assert these {what}"
            self._report.warning(Code.KEY_BEYOND_MAY_ASSERT, beyond[0], message)
        return texts([scalar for scalar in written or () if scalar not in beyond])
