"""Pods of a mesh: namespaces whose traffic is captured, each with `extauthz mesh sidecar` and an application."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.certificates import CertificateAuthority
from tests.netns.namespaces import APP, PROXY, Namespace

_HTTP = Path(__file__).with_name("http_process.py")
_ROOT = Path(__file__).parents[2]
_READY_SECONDS = 60.0


@dataclass
class MeshPod:
    """A pod with a running sidecar."""

    namespace: Namespace
    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    access_log: Path

    def lines(self, wanted: int) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        deadline = time.monotonic() + 10
        while True:
            text = self.access_log.read_text() if self.access_log.exists() else ""
            lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            if len(lines) >= wanted:
                return lines
            assert time.monotonic() < deadline, f"{len(lines)} lines of {wanted}: {text}"
            time.sleep(0.05)

    def admin(self, path: str) -> str:
        """What the administration interface says."""
        return self.namespace.run("curl", "-sf", f"http://127.0.0.1:15000{path}").stdout


def write_certificates(authority: CertificateAuthority, folder: Path, identity: str) -> Path:
    """A folder as `--certs` takes it."""
    from cryptography import x509

    folder.mkdir(exist_ok=True)
    content = authority.issue(x509.UniformResourceIdentifier(identity)).read_bytes()
    for name in ("cert-chain.pem", "key.pem"):
        (folder / name).write_bytes(content)
    (folder / "root-cert.pem").write_bytes(authority.certificate.read_bytes())
    return folder


def call(
    namespace: Namespace, host: str, port: int, *arguments: str, uid: int = APP, times: int = 1
) -> list[dict[str, Any]]:
    """What comes of calls from a process of this user."""
    command = ["ip", "netns", "exec", namespace.name, sys.executable, str(_HTTP)]
    where = ["--uid", str(uid), "--host", host, "--port", str(port), "call", "--times", str(times), *arguments]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def status(namespace: Namespace, host: str, port: int, *arguments: str, uid: int = APP) -> int | None:
    """The status of one call; None where no answer came."""
    found: int | None = call(namespace, host, port, *arguments, uid=uid)[0]["status"]
    return found


@contextmanager
def application(namespace: Namespace, port: int = 8080, host: str = "0.0.0.0") -> Iterator[subprocess.Popen[str]]:
    """An application that says what reached it."""
    command = ["ip", "netns", "exec", namespace.name, sys.executable, str(_HTTP)]
    process = subprocess.Popen(
        [*command, "--uid", str(APP), "--host", host, "--port", str(port), "serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def mesh_pod(
    namespace: Namespace,
    address: str,
    folder: Path,
    *arguments: str,
    account: str,
    variables: dict[str, str] | None = None,
    init: Sequence[str] = ("--family", "4"),
) -> Iterator[MeshPod]:
    """Capture a namespace's traffic and run the sidecar in it, as root of the proxy's group, until the block ends."""
    done = namespace.mesh_init(*init)
    assert done.returncode == 0, done.stderr
    run = folder / "run"
    run.mkdir(parents=True)
    access_log, log = folder / "access.log", folder / "sidecar.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EXTAUTHZ_", "ISTIO_"))}
    environment |= {"POD_NAME": account, "POD_NAMESPACE": "shop", "INSTANCE_IP": address, "SERVICE_ACCOUNT": account}
    command = [sys.executable, "-m", "extauthz", "mesh", "sidecar", *arguments]
    command += ["--directory", str(run), "--access-log", str(access_log), "--concurrency", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace.name, *command],
            cwd=_ROOT, env=environment | (variables or {}), stdout=output, stderr=subprocess.STDOUT,
            group=PROXY, extra_groups=[],
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while "extauthz mesh sidecar ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield MeshPod(namespace, address, folder, process, access_log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
