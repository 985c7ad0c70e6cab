"""One type of resource on one stream: what the client wants, what it has, what it refused.

The protocol (Envoy, "xDS REST and gRPC protocol"), in both forms:

- A response is acknowledged by its nonce, or refused by it together with an error. One response is under way at a time,
  so that what changes meanwhile is sent at once in its newest state.
- What was refused is not sent again until it changes; the client goes on with what it had.
- State of the world: a request says all names that are wanted; for clusters and listeners a response says all that
  there are, and what it leaves out is gone. Asked again with nothing under way, everything is sent again.
- Delta: requests and responses say what changed; a name that is wanted and not there is said to be gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from extauthz.xds.resource import CLUSTER, EXTENSION, LISTENER, Resource

WILDCARD: Final = "*"
WHOLE_TYPES: Final = frozenset({CLUSTER, LISTENER})
"""Asked for without names: all of them."""
_SINGLE_TYPES: Final = frozenset({EXTENSION})
"""Sent one by one: of two in one response a bad one can keep a good one from being taken."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A version that the client refused, and why."""

    version: str
    message: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What the client does not know yet."""

    new: tuple[Resource, ...]
    gone: tuple[str, ...]


class Subscription:
    """For one stream."""

    def __init__(self, type_url: str, *, is_delta: bool) -> None:
        self.type_url = type_url
        self.rejected: dict[str, Rejection] = {}
        self._is_delta = is_delta
        self._names: set[str] = set()
        self._is_whole = False
        self._known: dict[str, str] = {}
        """Versions by name, as sent; empty for what is known to be gone."""
        self._held: dict[str, Resource] = {}
        """State of the world: what the last response held, which the next may have to repeat."""
        self._suspects: set[str] = set()
        """What was refused together: sent one by one, to find out which of them it was."""
        self._under_way: tuple[Resource, ...] | None = None
        self._nonce = ""

    @property
    def is_under_way(self) -> bool:
        """Whether the client has not yet said what it thinks of a response."""
        return self._under_way is not None

    # --- Requests --------------------------------------------------------------------------------------------------

    def receive(self, request: Any) -> list[tuple[str, Rejection]]:
        """Take a request of this type; returns what it refuses, by name."""
        is_first = not self._nonce and not self._names and not self._is_whole
        is_answer = self._under_way is not None
        if request.response_nonce and request.response_nonce != self._nonce:
            return []  # about a response that another has replaced
        refused = self._settle(request) if request.response_nonce else []
        if self._is_delta:
            self._receive_changed_names(request, is_first=is_first)
        else:
            self._receive_names(request, is_repeated=bool(request.response_nonce) and not is_answer)
        return refused

    def _settle(self, request: Any) -> list[tuple[str, Rejection]]:
        answered, self._under_way = self._under_way or (), None
        names = {each.name for each in answered}
        self._suspects -= names
        if not request.HasField("error_detail"):
            for name in names:
                self.rejected.pop(name, None)
            return []
        if self._is_delta and len(answered) > 1:
            self._suspects |= names
            self.forget(names)
            return []
        refused = [(each.name, Rejection(each.version, request.error_detail.message)) for each in answered]
        self.rejected.update(refused)
        return refused

    def _receive_names(self, request: Any, *, is_repeated: bool) -> None:
        names = set(request.resource_names)
        if is_repeated and names == self._names:
            self._known.clear()  # a cluster that warms again waits for its instances
        for name in names - self._names:
            self._known.pop(name, None)
        self._is_whole = self.type_url in WHOLE_TYPES and (not names or WILDCARD in names)
        self._names = names

    def _receive_changed_names(self, request: Any, *, is_first: bool) -> None:
        had = request.initial_resource_versions  # on a new stream: what an earlier one brought
        self._known.update(had)
        subscribed = set(request.resource_names_subscribe)
        if WILDCARD in subscribed or (is_first and not subscribed and self.type_url in WHOLE_TYPES):
            self._is_whole = True
        for name in subscribed - {WILDCARD}:
            self._names.add(name)
            if name not in had:
                self._known.pop(name, None)  # asked for again: sent again
        for name in request.resource_names_unsubscribe:
            if name == WILDCARD:
                self._is_whole = False
            self._names.discard(name)
            self._known.pop(name, None)

    # --- Responses -------------------------------------------------------------------------------------------------

    def forget(self, names: Iterable[str]) -> None:
        """Send these again, whatever the client has."""
        for name in names:
            self._known.pop(name, None)

    def changes(self, available: Mapping[str, Resource]) -> Changes:
        """What has to be said, given all that there is."""
        wanted = available if self._is_whole else {n: available[n] for n in sorted(self._names) if n in available}
        new = tuple(each for each in wanted.values() if self._known.get(each.name) != each.version)
        missing = [name for name, version in self._known.items() if version and name not in available]
        if self._is_delta:
            missing += [name for name in self._names if name not in available and name not in self._known]
        gone = tuple(sorted(missing)) if self._is_delta or self.type_url in WHOLE_TYPES else ()
        suspects = tuple(each for each in new if each.name in self._suspects)
        if suspects or self.type_url in _SINGLE_TYPES:
            new = (suspects or new)[:1]
        return Changes(new, gone)

    def must_answer(self, changes: Changes) -> bool:
        """Whether there is something to say; a first question about everything is answered even if that is nothing."""
        return bool(changes.new or changes.gone) or (self._is_whole and not self._nonce)

    def send(self, changes: Changes, available: Mapping[str, Resource], nonce: str) -> tuple[Resource, ...]:
        """Note a response as under way.

        Args:
            changes: what it says; for state of the world, `gone` is what it may leave out.
            available: all that there is.
            nonce: the response's.

        Returns:
            The resources that it carries.
        """
        carried = changes.new
        if not self._is_delta and self.type_url in WHOLE_TYPES:
            kept = {name: each for name, each in self._held.items() if name not in changes.gone}
            chosen = available if self._is_whole else {n: available[n] for n in self._names if n in available}
            self._held = {**kept, **chosen}
            carried = tuple(self._held[name] for name in sorted(self._held))
        for each in carried:
            self._known[each.name] = each.version
        for name in changes.gone:
            if self._is_delta and name in self._names:
                self._known[name] = ""
            else:
                self._known.pop(name, None)
            self.rejected.pop(name, None)
        self._under_way = changes.new
        self._nonce = nonce
        return carried
