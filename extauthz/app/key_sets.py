"""The remote key sets as the service sees them: fetched, and how they fare told to log, status and workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from extauthz.authn.authenticator import KeySets
from extauthz.authn.keyset import Phase
from extauthz.sources.jwks import KeySetEvent, KeySetEventKind, KeySetFetcher
from extauthz.telemetry.logging import Logger
from extauthz.telemetry.status import KeySetState, KeySetStatus


class FetchedKeySets:
    """Key sets, what fetches them, and the account of it."""

    def __init__(self, logger: Logger, *, state: str | None, on_change: Callable[[str], None]) -> None:
        """Nothing is fetched yet.

        Args:
            logger: told what happens.
            state: the folder that keeps the last good sets; None keeps none.
            on_change: told a provider's name after anything that happened to its keys.

        Raises:
            ConfigurationError: the folder is not ours alone.
            EnvironmentUnfitError: the folder cannot be created.
        """
        self.key_sets = KeySets()
        self._logger = logger
        self._on_change = on_change
        self._failures: Counter[str] = Counter()
        self.fetcher = KeySetFetcher(
            self.key_sets, state_dir=Path(state) if state else None, on_event=self._on_event, clock=time.time
        )

    def status(self) -> Mapping[str, KeySetStatus]:
        """How they stand at this moment, by provider."""
        return {
            each.provider: KeySetStatus(
                key_set_state(each.phase, usable=each.usable), each.fetched_at, self._failures[each.provider]
            )
            for each in self.fetcher.status()
        }

    def _on_event(self, event: KeySetEvent) -> None:
        if event.kind is KeySetEventKind.FAILED:
            self._failures[event.provider] += 1
        troubles = event.kind in {KeySetEventKind.FAILED, KeySetEventKind.STALE}
        log = self._logger.warning if troubles else self._logger.info if event.changed else self._logger.debug
        log(f"key_set_{event.kind}", provider=event.provider, keys=event.keys, detail=event.detail)
        self._on_change(event.provider)


def key_set_state(phase: Phase, *, usable: bool) -> KeySetState:
    """What the fetcher's phase means for requests."""
    if not usable:
        return KeySetState.MISSING
    return KeySetState.STALE if phase in {Phase.STALE, Phase.COOLING} else KeySetState.CURRENT
