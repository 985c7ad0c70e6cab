"""Bundles from servers: fetched at intervals, by their ETag, and the last good one kept meanwhile.

The operator's configuration names the server, so it is asked as it says: no redirect is followed, no proxy or
certificate of the environment is used, and size and time are limited.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx

from extauthz.sources.opa_config import OpaBundle, OpaService

MAX_BUNDLE_BYTES: Final = 64 * 1024 * 1024
"""Packed."""
TOTAL_SECONDS: Final = 60.0
"""For one bundle, from the first look-up to the last byte."""
FIRST_RETRY_SECONDS: Final = 1.0
"""After a failure; each further one doubles it, up to the ordinary delay."""


class BundleError(Exception):
    """The bundle could not be had; the message holds no secret."""


class BundleFetcher:
    """Fetches bundles for as long as it runs. For one event loop."""

    def __init__(
        self,
        bundles: Sequence[OpaBundle],
        *,
        on_bundle: Callable[[str, bytes], None],
        on_failed: Callable[[str, BundleError], None],
    ) -> None:
        """Fetch nothing yet.

        Args:
            bundles: those that come from services.
            on_bundle: told a bundle's name and content whenever that is another one.
            on_failed: told a bundle's name and why it could not be had.
        """
        self._bundles = bundles
        self._on_bundle = on_bundle
        self._on_failed = on_failed

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for bundle in self._bundles:
                tasks.create_task(self._follow(bundle))

    async def _follow(self, bundle: OpaBundle) -> None:
        etag: str | None = None
        retry = FIRST_RETRY_SECONDS
        while True:
            spread = random.uniform(bundle.min_delay_seconds, bundle.max_delay_seconds)  # noqa: S311 - no secret
            delay = spread
            try:
                async with asyncio.timeout(TOTAL_SECONDS):
                    found = await fetch_bundle(bundle, etag)
            except (BundleError, TimeoutError) as error:
                late = BundleError(f"no whole answer within {TOTAL_SECONDS:g} s")
                self._on_failed(bundle.name, error if isinstance(error, BundleError) else late)
                delay, retry = min(retry, spread), retry * 2
            else:
                retry = FIRST_RETRY_SECONDS
                if found is not None:
                    content, etag = found
                    self._on_bundle(bundle.name, content)
            await asyncio.sleep(delay)


async def fetch_bundle(bundle: OpaBundle, etag: str | None) -> tuple[bytes, str | None] | None:
    """GET a bundle; None when it is still the one with this ETag.

    Returns:
        Its content and its ETag.

    Raises:
        BundleError: it cannot be had.
    """
    service = bundle.service
    assert service is not None  # noqa: S101 - of a service
    url = f"{service.url}/{bundle.resource}"
    try:
        headers = await asyncio.to_thread(_headers, service)
        context = await asyncio.to_thread(_tls_context, service)
        if etag is not None:
            headers["if-none-match"] = etag
        timeout = httpx.Timeout(service.timeout_seconds)
        async with (
            httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            if response.status_code != httpx.codes.OK:
                raise BundleError(f"GET {url}: status {response.status_code}")
            return await _content(response, url), response.headers.get("etag")
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, UnicodeError, ValueError) as error:
        raise BundleError(f"GET {url}: {str(error) or type(error).__name__}") from error


async def _content(response: httpx.Response, url: str) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_BUNDLE_BYTES:
            raise BundleError(f"GET {url}: more than {MAX_BUNDLE_BYTES // 1024 // 1024} MiB")
    return bytes(content)


def _headers(service: OpaService) -> dict[str, str]:
    headers = {name.lower(): value for name, value in service.headers.items()}
    token = service.token
    if service.token_path is not None:
        token = Path(service.token_path).read_text(encoding="utf-8").strip()
    if token is not None:
        headers["authorization"] = f"{service.scheme} {token}"
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):  # the HTTP library would quote it
            raise ValueError(f"the header {name} holds a byte that no header can hold")
    return headers


def _tls_context(service: OpaService) -> ssl.SSLContext:
    """Read anew each time: renewed certificates count at the next fetch."""
    if service.ca_file is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.create_default_context(cafile=service.ca_file)
    if service.client_cert is not None:
        context.load_cert_chain(service.client_cert, service.client_key)
    return context
