"""What capture needs besides packet filter rules: routes for marked packets, and an address on lo (iproute2).

Each entry is there or not; adding one that is there, or removing one that is not, is never tried.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from extauthz.mesh.capture import Capture, Mode
from extauthz.mesh.machine import INBOUND_SOURCE_V6
from extauthz.mesh.program import require_program, run_program
from extauthz.mesh.rules_tproxy import INBOUND_MARK, ROUTE_TABLE

_Entry: TypeAlias = Mapping[str, Any]

_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class KernelEntry:
    """An entry of the kernel's routing tables."""

    show: Sequence[str]
    """The arguments of `ip` that list entries of this sort."""
    matches: Callable[[_Entry], bool]
    add: Sequence[str]
    remove: Sequence[str]

    def is_there(self) -> bool:
        """Whether it exists. Raises EnvironmentUnfitError."""
        listed = json.loads(_ip("-j", *self.show) or "[]")
        return any(self.matches(entry) for entry in listed)

    def put(self) -> None:
        """Add it. Raises EnvironmentUnfitError."""
        _ip(*self.add)

    def take_away(self) -> None:
        """Remove it. Raises EnvironmentUnfitError."""
        _ip(*self.remove)


def kernel_entries(capture: Capture, version: int) -> list[KernelEntry]:
    """What a capture needs for one address family, in the order in which it is put there."""
    entries = [_inbound_source()] if version == 6 else []
    if capture.mode is Mode.TPROXY:
        entries += [_local_route(version), _rule_for_marks(version)]
    return entries


def _inbound_source() -> KernelEntry:
    """The address that the proxy's inbound side binds; of IPv4, all of 127.0.0.0/8 is on lo anyway."""
    address = [f"{INBOUND_SOURCE_V6}/128", "dev", "lo"]
    return KernelEntry(
        show=["-6", "addr", "show", "dev", "lo"],
        matches=lambda entry: any(each.get("local") == str(INBOUND_SOURCE_V6) for each in entry.get("addr_info", ())),
        add=["-6", "addr", "add", *address],
        remove=["-6", "addr", "del", *address],
    )


def _local_route(version: int) -> KernelEntry:
    route = ["local", _DEFAULT[version], "dev", "lo", "table", str(ROUTE_TABLE)]
    return KernelEntry(
        # Of all tables: `ip` fails on one that does not exist yet.
        show=[f"-{version}", "route", "show", "table", "all", "type", "local"],
        matches=lambda entry: entry.get("dst") == "default" and str(entry.get("table")) == str(ROUTE_TABLE),
        add=[f"-{version}", "route", "add", *route],
        remove=[f"-{version}", "route", "del", *route],
    )


def _rule_for_marks(version: int) -> KernelEntry:
    rule = ["fwmark", str(INBOUND_MARK), "lookup", str(ROUTE_TABLE)]
    return KernelEntry(
        show=[f"-{version}", "rule", "show"],
        matches=lambda entry: entry.get("fwmark") == hex(INBOUND_MARK) and str(entry.get("table")) == str(ROUTE_TABLE),
        add=[f"-{version}", "rule", "add", *rule],
        remove=[f"-{version}", "rule", "del", *rule],
    )


def _ip(*arguments: str) -> str:
    return run_program([require_program("ip", "the package iproute2"), *arguments])
