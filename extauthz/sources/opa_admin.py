"""A running OPA's policies and data, through opa-python-client: the one door to that library.

For people and pipelines, never for decisions. Whatever goes wrong becomes one of our errors; OPA's own words about a
module keep their place in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import requests
from opa_client.errors import (
    ConnectionsError,
    DeletePolicyError,
    PatchDataError,
    PolicyNotFoundError,
    RegoParseError,
)
from opa_client.opa import OpaClient

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.model.source import Span

_TIMEOUT_SECONDS: Final = 10.0
_RETRIES: Final = 2
_REFUSED: Final = "unauthorized"


@dataclass(frozen=True, slots=True)
class OpaConnection:
    """Which OPA, and how it is reached."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


class ModuleRejectedError(Exception):
    """OPA does not take a module; it may once others are there."""

    def __init__(self, findings: Sequence[tuple[Span, str]]) -> None:
        super().__init__("; ".join(message for _, message in findings))
        self.findings = findings
        """Places in modules, by their ids in OPA, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class OpaHealth:
    """How it is."""

    healthy: bool
    """Its server answers, and its bundles and plugins are ready."""
    version: str
    bundles: Mapping[str, str]
    """The revisions of the bundles it has loaded, by name."""


class OpaAdmin:
    """Reads and writes; a context manager, which closes the connections.

    Raises, from every method:
        EnvironmentUnfitError: it cannot be reached, refuses us, or is no OPA.
    """

    def __init__(self, connection: OpaConnection) -> None:
        """Connect at the first use.

        Raises:
            ConfigurationError: the url or a file cannot be used.
        """
        self._url = connection.url
        host, port, secure = _split(connection.url)
        if not secure and (connection.ca_file or connection.client_cert):
            raise ConfigurationError("--ca-file and --client-cert need an https --url")
        if (connection.client_cert is None) != (connection.client_key is None):
            raise ConfigurationError("--client-cert and --client-key go together: give both, or neither")
        for file in (connection.ca_file, connection.client_cert, connection.client_key):
            if file is not None and not file.is_file():
                raise ConfigurationError(f"{file}: name a PEM file that can be read")
        pair = (str(connection.client_cert), str(connection.client_key)) if connection.client_cert else None
        self._client = OpaClient(
            host=host,
            port=port,
            # A file's name here is taken as what to believe.
            ssl=str(connection.ca_file) if connection.ca_file else secure,
            cert=pair,
            token=None if connection.token_file is None else _read_token(connection.token_file),
            retries=_RETRIES,
            timeout=_TIMEOUT_SECONDS,
        )
        self._client._session.trust_env = False  # noqa: SLF001 - no proxies and no .netrc but by flags

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close_connection()

    def health(self) -> OpaHealth:
        """How it is now."""
        with self._mapped():
            labels = self._client.get_config()["result"].get("labels", {})
        bundles = self.data("system/bundles")
        revisions = {
            name: str(bundle.get("manifest", {}).get("revision", ""))
            for name, bundle in (bundles if isinstance(bundles, dict) else {}).items()
        }
        healthy = bool(self._client.check_health({"bundles": "true", "plugins": "true"}))
        return OpaHealth(healthy, str(labels.get("version", "unknown")), revisions)

    def packages(self) -> Mapping[str, str]:
        """The package of each module that it has, as a path such as `shop/reports`, by the module's id."""
        with self._mapped():
            described = self._client.get_policies_info()
        return {str(id_): str(each["path"]).partition("/v1/data/")[2] for id_, each in described.items()}

    def module(self, id_: str) -> str:
        """A module's text."""
        with self._mapped():
            return str(self._client.get_policy(quote(id_))["result"]["raw"])

    def put_module(self, id_: str, text: str) -> None:
        """Create or replace a module.

        Raises:
            ModuleRejectedError: it does not compile among those that are there.
        """
        with self._mapped():
            try:
                # It would rewrite a module of the old syntax, and not tell.
                self._client.update_policy_from_string(text, quote(id_), rego_compat=False)
            except RegoParseError as error:
                if error.expression == _REFUSED:
                    raise
                raise ModuleRejectedError(_findings(id_, error)) from None

    def delete_module(self, id_: str) -> None:
        """Remove a module.

        Raises:
            ModuleRejectedError: others need it.
        """
        with self._mapped():
            try:
                self._client.delete_policy(quote(id_))
            except DeletePolicyError as error:
                if error.expression == _REFUSED:
                    raise
                raise ModuleRejectedError([(Span(id_, 1, 1), f"cannot be removed: {error.message}")]) from None

    def data(self, path: str) -> Any:
        """The document at a path below `data`, rules included; None when there is none."""
        with self._mapped():
            try:
                return self._client.get_data(path)["result"]
            except PolicyNotFoundError as error:
                if error.expression == _REFUSED:
                    raise
                return None

    def put_data(self, key: str, value: Any) -> None:
        """Create or replace a base document, of any type, at a key below `data` or below an object there.

        Raises:
            ConfigurationError: OPA refuses it, as where a bundle owns it.
        """
        self._patch(key, {"op": "add", "path": "/", "value": value})

    def remove_data(self, key: str) -> None:
        """Remove a base document.

        Raises:
            ConfigurationError: as `put_data`.
        """
        self._patch(key, {"op": "remove", "path": "/"})

    def _patch(self, key: str, operation: Mapping[str, Any]) -> None:
        with self._mapped():
            try:
                self._client.patch_data(quote(key), [dict(operation)])
            except PatchDataError as error:
                if error.expression == _REFUSED:
                    raise
                message = f"{self._url} refuses data.{key.replace('/', '.')}: {error.message}"
                raise ConfigurationError(message) from None

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """The library's exceptions, and those of the library below, as ours."""
        try:
            yield
        except requests.exceptions.HTTPError as error:
            status = None if error.response is None else error.response.status_code
            raise self._unfit(_REFUSAL if status in {401, 403} else f"answers with status {status}") from None
        except (requests.exceptions.JSONDecodeError, LookupError, TypeError, AttributeError):
            raise self._unfit("answers, but not as OPA does") from None
        except requests.exceptions.SSLError as error:
            raise self._unfit(f"cannot be trusted, or does not trust us: {_innermost(error)}") from None
        except (requests.exceptions.RequestException, ConnectionsError) as error:
            raise self._unfit(f"cannot be reached: {_innermost(error)}") from None
        except (RegoParseError, DeletePolicyError, PatchDataError, PolicyNotFoundError) as error:
            raise self._unfit(_REFUSAL if error.expression == _REFUSED else str(error.message)) from None

    def _unfit(self, what: str) -> EnvironmentUnfitError:
        return EnvironmentUnfitError(f"{self._url} {what}")


_REFUSAL: Final = "refuses us: name a file with a token that it takes (--token-file)"


def _split(url: str) -> tuple[str, int, bool]:
    try:
        parsed = urlsplit(url)
        port = parsed.port
    except ValueError as error:
        raise ConfigurationError(f"--url {url}: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.hostname or parsed.path.strip("/"):
        raise ConfigurationError(f"--url {url}: write http://HOST:PORT or https://HOST:PORT")
    if "@" in parsed.netloc or parsed.query or parsed.fragment:
        raise ConfigurationError("--url: a user, query or fragment is not sent: put a token into --token-file")
    secure = parsed.scheme == "https"
    host = f"[{parsed.hostname}]" if ":" in parsed.hostname else parsed.hostname
    return host, port or (443 if secure else 80), secure


def _read_token(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        token = ""
    if len(token.split()) != 1:
        raise ConfigurationError(f"--token-file {file}: name a file that holds one bearer token")
    return token


def _findings(id_: str, error: RegoParseError) -> list[tuple[Span, str]]:
    found = []
    for each in error.errors:
        place = each.get("location") or {}
        span = Span(str(place.get("file") or id_), int(place.get("row", 1)), int(place.get("col", 1)))
        found.append((span, str(each.get("message"))))
    return found or [(Span(id_, 1, 1), str(error.message))]


def _innermost(error: BaseException) -> str:
    """What the system said: urllib3 wraps it in three layers of its own names."""
    said = str(error).rpartition(": ")[2].rpartition("] ")[2].partition(" (_ssl")[0]
    return said.strip("')\" ") or type(error).__name__
