"""What a watcher needs of the files that it watches, whatever they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from extauthz.errors import ConfigurationError, PolicyError


class Loaded(Protocol):
    """What files made, and what they were: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def digest(self) -> str:
        """Over names and contents as read."""

    @property
    def directories(self) -> Mapping[str, str]:
        """Each folder read, and what changes of it in an atomic swap."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that must not go missing unnoticed."""


LoadedT = TypeVar("LoadedT", bound=Loaded)
LoadedT_co = TypeVar("LoadedT_co", bound=Loaded, covariant=True)


class WatchedReading(Protocol):
    """What the files are now."""

    @property
    def digest(self) -> str: ...
    @property
    def directories(self) -> Mapping[str, str]: ...


class WatchedAttempt(Protocol[LoadedT_co]):
    """What came of loading them."""

    @property
    def outcome(self) -> LoadedT_co | PolicyError | ConfigurationError: ...
    @property
    def digest(self) -> str: ...


class WatchedFiles(Protocol[LoadedT_co]):
    """Files that make one policy; see `PolicyFiles`."""

    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def references(self) -> frozenset[str]: ...
    @property
    def values_file(self) -> str | None: ...
    def read(self) -> WatchedReading: ...
    def attempt(self) -> WatchedAttempt[LoadedT_co]: ...
