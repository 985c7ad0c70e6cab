"""Fetches key sets: does what `authn.keyset.KeySetState` says is due, and tells it what came of it.

Each provider is fetched on its own, so that an issuer that cannot be reached holds up nobody else. One fetch per
provider is under way at any time; requests that need it wait for the same one. What happens is reported by events.
Specifications: OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3 (where an issuer's metadata is).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.keyset import KeySet, KeySetRefusedError, KeySetState, Phase, parse_key_set
from extauthz.authn.provider import is_loopback, key_source_digest
from extauthz.model.access import JsonValue
from extauthz.model.provider import Provider, RemoteKeys
from extauthz.sources.kept_keys import KeptKeys, KeptKeysRefusedError
from extauthz.sources.outbound_http import Document, HttpStatusError, OutboundError, Resolver, get_json, resolve

DEFAULT_FRESH_SECONDS = 300.0
MINIMUM_FRESH_SECONDS = 60.0
MAXIMUM_FRESH_SECONDS = 86_400.0
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
"""The clock may be set while we sleep; look at it again after this."""


class KeySetEventKind(StrEnum):
    """What happened to a provider's key set."""

    FETCHED = "fetched"
    FAILED = "failed"
    """A fetch failed, or a set could not be kept or read back."""
    KEPT = "kept"
    """Keys of an earlier process are served until the issuer answers."""
    STALE = "stale"
    """Keys are served past the time at which they should have been fetched again."""


@dataclass(frozen=True, slots=True)
class KeySetEvent:
    """For metrics, logs and readiness; holds no secret."""

    kind: KeySetEventKind
    provider: str
    detail: str = ""
    """Why it failed, or which keys of the set were refused and why."""
    keys: int = 0
    """How many keys can be verified with."""
    changed: bool = False
    """Whether the keys differ from those before."""


@dataclass(frozen=True, slots=True)
class KeySetStatus:
    """Where a provider's key set stands."""

    provider: str
    phase: Phase
    usable: bool
    """Whether its tokens can be verified now."""
    fetched_at: float | None
    """Epoch seconds."""
    last_failure: str | None


class _Source:
    """A provider with remote keys and the fetch under way for it."""

    def __init__(self, provider: Provider, keys: RemoteKeys, state: KeySetState) -> None:
        self.provider = provider
        self.keys = keys
        self.state = state
        self.fetch: asyncio.Task[None] | None = None
        self.turn = asyncio.Lock()
        """Stands for the task where there is none, because `run` does not run."""
        self.reported_stale = False


class KeySetFetcher:
    """Keeps the key sets of all remote providers fresh while `run` runs."""

    def __init__(
        self,
        key_sets: KeySets,
        *,
        state_dir: Path | None,
        on_event: Callable[[KeySetEvent], None],
        clock: Callable[[], float],
        resolver: Resolver = resolve,
    ) -> None:
        """Nothing is fetched before `reconfigure` and `run`.

        Args:
            key_sets: what authenticators read.
            state_dir: where the last good sets are kept; None keeps none.
            on_event: told what happens; must not raise.
            clock: epoch seconds.
            resolver: how host names become addresses.

        Raises:
            ConfigurationError: the folder is not ours alone.
            EnvironmentUnfitError: the folder cannot be created.
        """
        self._key_sets = key_sets
        self._kept = None if state_dir is None else KeptKeys(state_dir)
        self._on_event = on_event
        self._clock = clock
        self._resolver = resolver
        self._sources: dict[bytes, _Source] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._look_again = asyncio.Event()

    def reconfigure(self, providers: Iterable[Provider]) -> None:
        """Fetch for these providers from now on; those known already keep their keys."""
        known, self._sources = self._sources, {}
        for provider in providers:
            if isinstance(provider.keys, RemoteKeys):
                digest = key_source_digest(provider)
                self._sources[digest] = known.get(digest) or self._source(provider, provider.keys)
        self._look_again.set()

    def status(self) -> Sequence[KeySetStatus]:
        """How the remote key sets stand, in the order of the providers."""
        now = self._clock()
        return [
            KeySetStatus(
                provider=source.provider.name,
                phase=source.state.phase(now),
                usable=source.state.usable(now) is not None,
                fetched_at=source.state.fetched_at if math.isfinite(source.state.fetched_at) else None,
                last_failure=source.state.last_failure,
            )
            for source in self._sources.values()
        ]

    async def run(self) -> None:
        """Fetch what is due, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    self._look_again.clear()
                    now = self._clock()
                    for source in self._sources.values():
                        if source.state.next_fetch_at(now) <= now:
                            self._start(source, tasks)
                    await self._pause(now)
            finally:
                self._tasks = None

    async def fetch(self, need: NeedKeySet) -> None:
        """Fetch what a request lacks, or join the fetch under way; returns when it is done, well or not.

        A caller that is cancelled while it waits does not stop the fetch, if `run` runs: others wait for it too.
        """
        source = self._sources.get(key_source_digest(need.provider))
        if source is None:
            if not isinstance(need.provider.keys, RemoteKeys):
                return
            source = self._source(need.provider, need.provider.keys)
        state, before = source.state, source.state.key_set
        if not state.may_fetch(need.kid, self._clock()):
            return
        if self._tasks is None:
            async with source.turn:
                if state.may_fetch(need.kid, self._clock()):  # nobody has fetched while we waited for our turn
                    await self._refresh(source)
        else:
            await asyncio.wait([self._start(source, self._tasks)])
        if state.key_set is before and state.failures == 0:
            state.remember_absent(need.kid, self._clock())

    def _source(self, provider: Provider, keys: RemoteKeys) -> _Source:
        source = _Source(provider, keys, self._key_sets.state_of(provider))
        if self._kept is not None and source.state.key_set is None:
            self._restore(source, self._kept)
        return source

    def _restore(self, source: _Source, kept_keys: KeptKeys) -> None:
        try:
            kept = kept_keys.load(source.provider, self._clock())
        except KeptKeysRefusedError as error:
            self._report(source, KeySetEventKind.FAILED, detail=f"kept keys are not used: {error}")
            return
        if kept is not None:
            source.state.restore(kept.key_set, kept.fetched_at, kept.fresh_seconds)
            self._report(source, KeySetEventKind.KEPT, changed=True)

    def _start(self, source: _Source, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        if source.fetch is None or source.fetch.done():
            source.fetch = tasks.create_task(self._refresh(source), name=f"key set of {source.provider.name}")
        return source.fetch

    async def _pause(self, now: float) -> None:
        due = min((source.state.next_fetch_at(now) for source in self._sources.values()), default=math.inf)
        try:
            async with asyncio.timeout(min(max(due - now, 0.0), _LONGEST_PAUSE_SECONDS)):
                await self._look_again.wait()
        except TimeoutError:
            return

    async def _refresh(self, source: _Source) -> None:
        """One fetch. Raises nothing but cancellation."""
        source.state.begin(self._clock())
        try:
            document = await self._download(source)
            key_set = parse_key_set(document.content)
        except OutboundError as error:
            self._failed(source, str(error))
        except KeySetRefusedError as error:
            self._failed(source, f"the key set {error}")
        except asyncio.CancelledError:
            source.state.failed("cancelled", self._clock(), retry_seconds=0.0)
            raise
        except Exception as error:  # noqa: BLE001 - one issuer's answer must not end the fetching for all others
            self._failed(source, f"unexpected {type(error).__name__}")
        else:
            await self._succeeded(source, document, key_set)
        self._look_again.set()

    async def _succeeded(self, source: _Source, document: Document, key_set: KeySet) -> None:
        fresh = DEFAULT_FRESH_SECONDS if document.fresh_seconds is None else document.fresh_seconds
        # A little early, each time another: replicas that started together do not stay together.
        fresh = min(max(fresh, MINIMUM_FRESH_SECONDS), MAXIMUM_FRESH_SECONDS) * _between(0.9, 1.0)
        now = self._clock()
        changed = source.state.fetched(key_set, now, fresh)
        source.reported_stale = False
        self._report(source, KeySetEventKind.FETCHED, detail="; ".join(key_set.refused), changed=changed)
        if self._kept is not None:
            try:
                await asyncio.to_thread(self._kept.save, source.provider, document.content, now, fresh)
            except OSError as error:
                self._report(source, KeySetEventKind.FAILED, detail=f"the key set cannot be kept: {error.strerror}")

    def _failed(self, source: _Source, reason: str) -> None:
        state, now = source.state, self._clock()
        retry = min(_FIRST_RETRY_SECONDS * 2.0 ** min(state.failures, 10), _LAST_RETRY_SECONDS)
        state.failed(reason, now, retry * _between(0.5, 1.0))
        self._report(source, KeySetEventKind.FAILED, detail=reason)
        if state.usable(now) is not None and now >= state.refresh_at and not source.reported_stale:
            source.reported_stale = True
            self._report(source, KeySetEventKind.STALE, detail=reason)

    def _report(self, source: _Source, kind: KeySetEventKind, *, detail: str = "", changed: bool = False) -> None:
        key_set = source.state.usable(self._clock())
        self._on_event(
            KeySetEvent(kind, source.provider.name, detail, keys=len(key_set.keys) if key_set else 0, changed=changed)
        )

    async def _download(self, source: _Source) -> Document:
        uri = source.keys.uri
        return await self._get(source, await self._discover(source) if uri is None else uri)

    async def _discover(self, source: _Source) -> str:
        """The `jwks_uri` of the issuer's metadata."""
        openid, oauth = metadata_urls(source.provider.issuer)
        try:
            metadata = await self._get(source, openid)
        except HttpStatusError as first:
            try:
                metadata = await self._get(source, oauth)
            except OutboundError as second:
                raise OutboundError(f"no metadata: {first}; {second}") from second
        return _jwks_uri(metadata.content, source.provider.issuer)

    async def _get(self, source: _Source, url: str) -> Document:
        keys = source.keys
        return await get_json(url, ca_file=keys.ca_file, allow_http=keys.allow_http, resolver=self._resolver)


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Where the issuer's metadata is by OpenID Connect (appended) and by RFC 8414 (inserted before the path)."""
    openid = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    parts = urlsplit(issuer)
    oauth = urlunsplit(parts._replace(path=f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"))
    return openid, oauth


def _jwks_uri(metadata: Mapping[str, JsonValue], issuer: str) -> str:
    # RFC 8414 section 3.3: the issuer returned MUST be identical, or an issuer could speak for another.
    if metadata.get("issuer") != issuer:
        raise OutboundError("the metadata is another issuer's")
    uri = metadata.get("jwks_uri")
    if not isinstance(uri, str):
        raise OutboundError("the metadata names no jwks_uri")
    if is_loopback(urlsplit(uri).hostname or "") and not is_loopback(urlsplit(issuer).hostname or ""):
        raise OutboundError("the metadata of an issuer elsewhere names a jwks_uri on loopback")
    return uri


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - spreads load, protects nothing
