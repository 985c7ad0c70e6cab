"""Pods as network namespaces: one bridge, in a namespace that stands for the world outside, and a wire to each pod.

The bridge is in a namespace of its own, since what filters traffic on the machine would filter its bridges too.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.program import require_program, run_program

OUTSIDE: Final = "outside"
_NETWORK: Final = "10.88.0"
_NAMESPACES: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000  # sched.h
_BRIDGE: Final = "br0"

_Result = TypeVar("_Result")


class Network:
    """The namespaces by the names of their pods, and the addresses."""

    def __init__(self, prefix: str, pods: Sequence[str]) -> None:
        names = (OUTSIDE, *pods)
        self.namespaces: Mapping[str, str] = {name: f"{prefix}-{name}" for name in names}
        self.addresses: Mapping[str, str] = {name: f"{_NETWORK}.{number}" for number, name in enumerate(names, 1)}

    def command(self, pod: str, *words: str) -> list[str]:
        """A command that runs in a pod's network."""
        return [require_program("ip", "iproute2"), "netns", "exec", self.namespaces[pod], *words]

    def inside(self, pod: str, work: Callable[[], _Result]) -> _Result:
        """Do something from within a pod's network, in a thread of its own: a socket belongs where it was made."""
        with ThreadPoolExecutor(max_workers=1, initializer=_enter, initargs=(self.namespaces[pod],)) as thread:
            return thread.submit(work).result()


@contextmanager
def network(pods: Sequence[str]) -> Iterator[Network]:
    """The network, around the block.

    Raises:
        EnvironmentUnfitError: this machine or this user cannot make one.
    """
    if os.geteuid() != 0:
        raise EnvironmentUnfitError("network namespaces need root: run this as root, or in a privileged container")
    ip = require_program("ip", "iproute2")
    require_program("iptables", "iptables")
    made = Network(f"extauthz-demo-{os.getpid()}", pods)
    with ExitStack() as stack:
        for namespace in made.namespaces.values():
            run_program([ip, "netns", "add", namespace])
            stack.callback(run_program, [ip, "netns", "del", namespace])
            run_program([ip, "-n", namespace, "link", "set", "lo", "up"])
        for line in _wiring(made):
            run_program([ip, *line.split()])
        yield made


def _wiring(made: Network) -> Iterator[str]:
    outside = made.namespaces[OUTSIDE]
    gateway = made.addresses[OUTSIDE]
    yield f"-n {outside} link add name {_BRIDGE} type bridge"
    yield f"-n {outside} addr add {gateway}/24 dev {_BRIDGE}"
    yield f"-n {outside} link set dev {_BRIDGE} up"
    for pod, namespace in made.namespaces.items():
        if pod == OUTSIDE:
            continue
        # Both ends get the name eth0 or the pod's when they are where they belong: no name is taken on the machine.
        yield f"-n {outside} link add name {pod} type veth peer name eth0 netns {namespace}"
        yield f"-n {outside} link set dev {pod} master {_BRIDGE} up"
        yield f"-n {namespace} addr add {made.addresses[pod]}/24 dev eth0"
        yield f"-n {namespace} link set eth0 up"
        yield f"-n {namespace} route add default via {gateway}"


def _enter(namespace: str) -> None:
    """Move this thread into a network namespace: setns(2)."""
    library = ctypes.CDLL(None, use_errno=True)
    with (_NAMESPACES / namespace).open("rb") as found:
        if library.setns(found.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
