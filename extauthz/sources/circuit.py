"""A circuit breaker: whether it is worth asking somebody who has not answered lately. Pure; times are handed in.

    closed ── `FAILURES_TO_OPEN` failures in a row ──> open ── the pause is over ──> half-open: one probe
      ^                                                  ^                                │
      └───────────────────── it answered ────────────────┼────────────────────────────────┤
                                                         └── it did not: a longer pause ──┘

While it is open nobody waits for somebody who will not answer, and nobody adds to the load of somebody who cannot.
"""

from __future__ import annotations

from typing import Final

FAILURES_TO_OPEN: Final = 5
"""In a row: an answer in between shows that not all is lost."""
FIRST_PAUSE_SECONDS: Final = 0.5
LAST_PAUSE_SECONDS: Final = 8.0
"""A pause doubles up to this with every probe that fails."""


class Circuit:
    """Counts failures. Whoever is let in says what came of it: `succeeded`, `failed` or `abandoned`."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether nobody but a probe is let in."""
        return self._open_until is not None

    def lets_in(self, now: float) -> bool:
        """Whether to ask now. One at a time once the pause is over, until that one says what came of it."""
        if self._open_until is None:
            return True
        if self._probing or now < self._open_until:
            return False
        self._probing = True
        return True

    def succeeded(self) -> bool:
        """It answered. Returns whether that closed the circuit."""
        was_open = self.is_open
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._open_until = None
        self._probing = False
        return was_open

    def failed(self, now: float) -> bool:
        """It did not answer. Returns whether that opened the circuit: not when it was open before."""
        if self._open_until is not None:
            if self._probing:  # others that were let in before it opened say nothing new
                self._probing = False
                self._pause = min(2 * self._pause, LAST_PAUSE_SECONDS)
                self._open_until = now + self._pause
            return False
        self._failures += 1
        if self._failures < FAILURES_TO_OPEN:
            return False
        self._open_until = now + self._pause
        return True

    def abandoned(self) -> None:
        """Whoever asked went away before there was an answer, which says nothing about it."""
        self._probing = False
