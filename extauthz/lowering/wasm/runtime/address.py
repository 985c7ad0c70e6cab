"""The connection's peer, and whether it is in a network."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import load8, load32, store8
from extauthz.lowering.wasm.runtime.caller import read_property
from extauthz.lowering.wasm.runtime.layout import FALSE, LEFT, TRUE, Configured, Word
from extauthz.lowering.wasm.runtime.memory import address_of, allocate, find_octet, length_of, texts_equal

IPV4_BYTES = 4
NETWORK_BYTES = 8


def read_octet(address: int, length: int) -> int:
    """A decimal number from 0 to 255 without leading zeros; -1 when it is none."""
    if length == 0 or length > 3 or (length > 1 and load8(address) == ord("0")):
        return -1
    number = 0
    for offset in range(length):
        digit = load8(address + offset) - ord("0")
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number if number <= 255 else -1


def read_ipv4(address: int, length: int) -> int:
    """The address of four octets, 0 when the text is no IPv4 address."""
    octets = allocate(IPV4_BYTES)
    end = address + length
    for number in range(IPV4_BYTES):
        size = find_octet(address, end - address, ord("."))
        octet = read_octet(address, size)
        is_last = number == IPV4_BYTES - 1
        if octet < 0 or (address + size == end) != is_last:
            return 0
        store8(octets + number, octet)
        address += size + 1
    return octets


def peer_address() -> int:
    """The connection's peer as the host writes it, `address:port`; 0 when it is not the one that the connection has.

    The host's attribute may come from X-Forwarded-For, or the connection's own from a PROXY header, depending on a
    configuration that is not ours: where both are the same it is the authorizer's, too.
    """
    address = read_property(Word.PEER_ADDRESS)
    direct = read_property(Word.DIRECT_PEER_ADDRESS)
    if address <= 0 or direct <= 0:
        return 0
    return address if texts_equal(address, direct) else 0


def peer() -> int:
    """The connection's peer: four octets of IPv4; 0 for any other, which the authorizer looks at."""
    source = peer_address()
    if source == 0:
        return 0
    return read_ipv4(address_of(source), find_octet(address_of(source), length_of(source), ord(":")))


def is_in_network(octets: int, network: int) -> int:
    """Whether an address is in a network: four octets, then how many bits count."""
    bits = load32(network + 4)
    for number in range(IPV4_BYTES):
        left = bits - (number << 3)
        if left <= 0:
            break
        mask = 0xFF if left >= 8 else (0xFF << (8 - left)) & 0xFF
        if (load8(octets + number) ^ load8(network + number)) & mask:
            return 0
    return 1


def is_in_networks(octets: int, networks: int) -> int:
    """Networks are how many they are, then each in 8 octets."""
    for number in range(load32(networks)):
        if is_in_network(octets, networks + 4 + number * NETWORK_BYTES):
            return 1
    return 0


def is_remote(networks: int, direct: int) -> int:
    """Whether the client is in one of some networks; left when its address is another's to tell."""
    octets = peer()
    if octets == 0:
        return LEFT
    proxies = load32(Configured.TRUSTED_PROXIES)
    if not direct and proxies != 0 and is_in_networks(octets, proxies):
        return LEFT  # X-Forwarded-For is the authorizer's to read
    return TRUE if is_in_networks(octets, networks) else FALSE


def peer_text() -> int:
    """`source.address`, as the host writes it: left unless it is IPv4."""
    if peer() == 0:
        return LEFT
    return peer_address()
