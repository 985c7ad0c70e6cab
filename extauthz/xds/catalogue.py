"""Who serves what: the contract between the server and the owner of what is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from extauthz.xds.resource import Snapshot
from extauthz.xds.subscription import Rejection


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of a connection."""

    authorization: str | None
    """The header of that name."""
    identities: Sequence[str]
    """The names in its verified certificate; empty without one."""


class Catalogue(Protocol):
    """The owner. Called in the server's event loop, and never waits."""

    def identify(self, caller: Caller) -> str | None:
        """As whom a caller is served; None: not at all."""

    def snapshot(self, identity: str) -> Snapshot:
        """All that it may have now."""

    def on_connected(self, identity: str, node: str) -> None:
        """A node has come."""

    def on_rejected(self, identity: str, node: str, refused: Mapping[tuple[str, str], Rejection]) -> None:
        """A node refuses what it was sent, by type and name, and goes on with what it had."""

    def on_disconnected(self, identity: str, node: str) -> None:
        """A node has gone."""
