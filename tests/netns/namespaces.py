"""A pod and an outside host as network namespaces, with processes in them.

Skips where this is not possible, saying why; fails instead where the run must have `netns`.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.required import skip_unless_required

_ENDPOINT = Path(__file__).with_name("endpoint_process.py")
_ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count()

POD, POD_V6 = "10.77.0.2", "fd77::2"
OUTSIDE, OUTSIDE_V6 = "10.77.0.1", "fd77::1"
PROXY, APP = 1337, 1000


def unfit_reason() -> str | None:
    """Why there can be no network namespaces here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "iptables-nft-restore", "iptables-legacy-restore", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    name = _new_name()
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def require_namespaces() -> None:
    """Skip the test where there are none, or fail it."""
    reason = unfit_reason()
    if reason is not None:
        skip_unless_required("netns", reason)


def _new_name() -> str:
    return f"extauthz-{os.getpid()}-{next(_NUMBERS)}"


@dataclass
class Namespace:
    """A network namespace that the test made."""

    name: str

    def run(self, *command: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            input=text, capture_output=True, text=True, check=check, cwd=_ROOT, timeout=60,
        )  # fmt: skip

    def mesh_init(self, *arguments: str, wrapper: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run `extauthz mesh init` in it."""
        command = [*wrapper, sys.executable, "-m", "extauthz", "mesh", "init", *arguments]
        return self.run(*command, check=False)

    def saved(self, kind: str) -> str:
        """The IPv4 rules, without comments and counters."""
        text = self.run(f"iptables-{kind}-save").stdout + self.run(f"ip6tables-{kind}-save").stdout
        lines = [line for line in text.splitlines() if not line.startswith(("#", ":", "COMMIT"))]
        return "".join(f"{line}\n" for line in lines if line[0] != "*")

    @contextmanager
    def serving(self, host: str, *arguments: str, uid: int, gid: int | None = None) -> Iterator[None]:
        """An endpoint that answers, until the block ends."""
        command = [*self._endpoint(host, uid, uid if gid is None else gid), "serve", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()
            process.communicate()

    def ask(self, host: str, port: int, *arguments: str, uid: int, gid: int | None = None) -> Any:
        """What the endpoint there says about the connection; None if there is no answer."""
        group = uid if gid is None else gid
        command = [*self._endpoint(host, uid, group), "ask", "--port", str(port), *arguments]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    def _endpoint(self, host: str, uid: int, gid: int) -> list[str]:
        identity = ["--uid", str(uid), "--gid", str(gid), "--host", host]
        return ["ip", "netns", "exec", self.name, sys.executable, str(_ENDPOINT), *identity]


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A network namespace with lo up, and nothing else."""
    require_namespaces()
    name = _new_name()
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield Namespace(name)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextmanager
def pod_and_outside() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces with a wire between them, in both address families; the pod's default route leads outside."""
    with ExitStack() as stack:
        pod = stack.enter_context(namespace())
        outside = stack.enter_context(namespace())
        script = [
            f"link add eth0 netns {pod.name} type veth peer name eth0 netns {outside.name}",
            f"-n {pod.name} addr add {POD}/24 dev eth0",
            f"-n {outside.name} addr add {OUTSIDE}/24 dev eth0",
            f"-n {pod.name} addr add {POD_V6}/64 dev eth0 nodad",
            f"-n {outside.name} addr add {OUTSIDE_V6}/64 dev eth0 nodad",
            f"-n {pod.name} link set eth0 up",
            f"-n {outside.name} link set eth0 up",
            f"-n {pod.name} route add default via {OUTSIDE}",
        ]
        for line in script:
            subprocess.run(["ip", *line.split()], check=True)
        yield pod, outside
