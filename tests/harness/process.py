"""`extauthz serve` as a process: what it costs is its own, and its tests cannot wait for it in its own loop."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.process import cpu_seconds
from extauthz.lowering.address import TcpAddress, parse_address

_READY = re.compile(r" serving policy .* at (127\.0\.0\.1:[0-9]+); probes at http://(127\.0\.0\.1:[0-9]+)/readyz")
_DECISIONS = re.compile(r"^extauthz_decisions_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)
_READY_SECONDS = 30.0


class ServedProcess:
    """A service that answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.errors: list[str] = []
        self._ready = threading.Event()
        self._address = self._admin = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._ready.wait(_READY_SECONDS), "".join(self.errors)
        assert self._address, "".join(self.errors)

    @property
    def address(self) -> TcpAddress:
        address = parse_address(self._address)
        assert isinstance(address, TcpAddress)
        return address

    @property
    def resident_mb(self) -> float:
        """Memory of its own, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def cpu_seconds(self) -> float:
        """What it has cost so far."""
        return cpu_seconds(self._process.pid)

    @property
    def decisions(self) -> int:
        """How many it has made so far."""
        connection = HTTPConnection(self._admin, timeout=_READY_SECONDS)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return sum(int(float(count)) for count in _DECISIONS.findall(text))

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self._process.terminate()
        code = self._process.wait(_READY_SECONDS)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.errors.append(line)
            if found := _READY.search(line):
                self._address, self._admin = found.groups()
                self._ready.set()
        self._ready.set()


@contextmanager
def serving(policy: Path, *arguments: str) -> Iterator[ServedProcess]:
    """A service under this policy, on ports of its own; killed at the end if it has not been ended."""
    command = [sys.executable, "-m", "extauthz", "serve", str(policy), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--admin", "127.0.0.1:0", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield ServedProcess(process)
        finally:
            if process.poll() is None:
                process.kill()
