"""One reading of a host: the authorizer's."""

from __future__ import annotations

from random import Random

from extauthz.errors import HostInvalidError
from extauthz.lowering.wasm.runtime.layout import Cell
from extauthz.pdp.canonical import canonical_host
from tests.harness.machine import Machine

PIECES = [
    "a",
    "B",
    "shop",
    ".",
    ".",
    ":",
    ":80",
    ":123456",
    ":8x",
    "[",
    "]",
    "[::1]",
    "[::1",
    "[]",
    "::",
    "@",
    ",",
    "%",
    "/",
]
PIECES += ["?", "#", "\\", " ", "\x7f", "é", "-", "_", "1", "*", "[fe80::1.2]", "[g]"]
HOSTS = [
    "",
    ".",
    "..",
    "a.",
    "a..",
    "A.Example:443",
    "[::1]:8080",
    "[::1]x",
    "a:",
    "a:1",
    "a:12345",
    "a:123456",
    "a.:80",
]


def test_a_host_is_read_as_the_authorizer_reads_it():
    """Thousands of hosts, out of everything that makes one invalid."""
    random, machine = Random(1), Machine()
    made = ["".join(random.choices(PIECES, k=random.randint(1, 4))) for _ in range(3000)]
    for host in (*HOSTS, *PIECES, *made):
        machine.call("reset")
        valid = machine.call("read_host", machine.text(host))
        try:
            expected = canonical_host(host)
        except HostInvalidError:
            assert not valid, host
            continue
        assert valid, host
        assert machine.read_text(machine.word(Cell.HOST)).decode() == expected
