"""The certificate that the service shows: loaded, reported, and replaced when its files change."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable

from extauthz.errors import ConfigurationError
from extauthz.telemetry.logging import Logger
from extauthz.telemetry.status import CertificateStatus, Listener, ServiceStatus
from extauthz.telemetry.timestamp import rfc3339
from extauthz.tls import CredentialFiles, Credentials, CredentialsWatcher, exposed_key, load_credentials


class Certificate:
    """Credentials in files, and the account of them in log and status."""

    def __init__(self, listener: Listener, files: CredentialFiles, status: ServiceStatus, logger: Logger) -> None:
        """Load them.

        Raises:
            ConfigurationError: a file must be corrected.
        """
        self._listener = listener
        self._files = files
        self._status = status
        self._logger = logger
        self.credentials = load_credentials(files, time.time())
        """As they were at the start."""
        self._report(self.credentials)

    async def watch(self, replace: Callable[[Credentials], Awaitable[None]]) -> None:
        """Until cancelled, replace what is served when the files have changed. Call it once there is something served.

        Args:
            replace: serves new connections with others; raises ConfigurationError when it cannot, and RuntimeError
                when old connections outlasted the drain.
        """

        async def on_loaded(credentials: Credentials) -> None:
            try:
                await replace(credentials)
            except RuntimeError as error:
                self._logger.warning(
                    "drain_incomplete", problem=str(error), note="connections under the old certificate"
                )
            self._report(credentials)

        watcher = CredentialsWatcher(
            self._files, loaded=self.credentials, on_loaded=on_loaded, on_failed=self._on_failed, clock=time.time
        )
        await watcher.run()

    def _on_failed(self, error: ConfigurationError) -> None:
        served = self._status.certificates[self._listener]
        self._status.certificates[self._listener] = dataclasses.replace(served, is_current=False)
        self._logger.error(
            "certificate_load_failed",
            listener=self._listener,
            problem=str(error),
            note="the last good certificate stays",
        )

    def _report(self, credentials: Credentials) -> None:
        self._status.certificates[self._listener] = CertificateStatus(credentials.expires_at)
        self._logger.info(
            "certificate_loaded",
            listener=self._listener,
            serial=credentials.serial,
            expires=rfc3339(credentials.expires_at),
            callers="certified" if credentials.client_ca else "any",
        )
        exposed = exposed_key(self._files)
        if exposed is not None:
            self._logger.warning("key_exposed", problem=exposed)
