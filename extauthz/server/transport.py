"""What carries Envoy's calls: the seam between the service and the libraries that speak gRPC to its callers."""

from __future__ import annotations

from typing import Protocol

from extauthz.lowering.address import Address
from extauthz.tls import Credentials


class Transport(Protocol):
    """Answers calls at its addresses by the methods it was made with.

    Made, it listens, and connections wait; while `run` runs, they are served.
    """

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it listens, in the order asked for; port 0 has become what the system chose."""

    async def run(self) -> None:
        """Serve until `stop`; returns when every call in flight is answered, or its time is over.

        Raises:
            RuntimeError: calls outlasted the drain.
        """

    async def started(self) -> None:
        """Wait until calls are answered."""

    async def replace_credentials(self, credentials: Credentials) -> None:
        """Serve new connections with these; no call is lost. Only while running, and if it was made with some.

        Raises:
            ConfigurationError: they cannot be used; all is as before.
            RuntimeError: calls on old connections outlasted the drain; the new credentials are in force.
        """

    def stop(self) -> None:
        """Listen no more, and let what is in flight finish."""
