"""A Docker daemon for the run: the one that can be reached, else a private one in a network namespace of its own.

A private daemon leaves the machine's bridges, firewall and images alone. The published ports of its containers are in
its namespace, so the thread that starts it moves in; loopback there is another one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException

_CLONE_NEWNET = 0x40000000  # sched.h
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_USUAL_HOST = "unix:///var/run/docker.sock"
_NEEDED = ("dockerd", "ip", "iptables", "setpriv")


class NoDaemonError(Exception):
    """There is no daemon, and none can be started; the message says what it takes."""


def check_daemon() -> None:
    """Whether `docker_host` will find or can start one.

    Raises:
        NoDaemonError: it cannot.
    """
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if (os.geteuid() != 0 or missing) and not _answers(_given_host()):
        needs = "root" if os.geteuid() != 0 else f"{', '.join(missing)} (Debian: docker.io iproute2 iptables)"
        raise NoDaemonError(f"no Docker daemon answers, and starting a private one needs {needs}")


@contextmanager
def docker_host() -> Iterator[str]:
    """The address of a daemon, as `DOCKER_HOST` has it.

    Raises:
        NoDaemonError: none answers, and none can be started.
    """
    if _answers(_given_host()):
        yield _given_host()
        return
    check_daemon()
    # Not in pytest's temporary folder, which is kept: this one holds gigabytes.
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory, _own_network(), _dockerd(Path(directory)) as address:
        yield address


def _given_host() -> str:
    return os.environ.get("DOCKER_HOST") or _USUAL_HOST


@contextmanager
def _dockerd(directory: Path) -> Iterator[str]:
    address = f"unix://{directory}/docker.sock"
    command = [
        *("setpriv", "--pdeathsig", "SIGTERM"),  # a killed test run leaves nothing behind
        "dockerd",
        *("--host", address),
        *("--data-root", str(directory / "data")),
        *("--exec-root", str(directory / "run")),
        *("--pidfile", str(directory / "pid")),
    ]
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoDaemonError("dockerd did not start:\n" + log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    # First the file: the SDK forgets to close a socket that it could not connect.
    if address.startswith("unix://") and not Path(address.removeprefix("unix://")).exists():
        return False
    try:
        client = docker.DockerClient(address, timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except DockerException:
        return False
    finally:
        client.close()


@contextmanager
def _own_network() -> Iterator[None]:
    """The block runs in a network namespace that holds nothing but loopback, as does what it starts."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            _call("setns", outside, _CLONE_NEWNET)
    finally:
        os.close(outside)


def _call(function: str, *arguments: int) -> None:
    """A function of libc that Python 3.11 lacks."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
