"""The connection's peer, and whether it is in a network."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import load8, load32, store8
from extauthz.lowering.wasm.runtime.caller import read_property
from extauthz.lowering.wasm.runtime.layout import FALSE, LEFT, TRUE, Configured, Word
from extauthz.lowering.wasm.runtime.memory import address_of, allocate, copy, find_octet, length_of, texts_equal
from extauthz.lowering.wasm.runtime.path import hexadecimal

ADDRESS_BYTES = 16
"""An IPv4 address is the IPv6 address that it is mapped to (RFC 4291, section 2.5.5.2)."""
MAPPED_BYTES = 12
NETWORK_BYTES = 20


def unspecified() -> int:
    """An address of zeros."""
    octets = allocate(ADDRESS_BYTES)
    for offset in range(ADDRESS_BYTES):
        store8(octets + offset, 0)
    return octets


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
    """An IPv4 address as the address that it is mapped to; 0 when the text is none."""
    octets = unspecified()
    store8(octets + 10, 0xFF)
    store8(octets + 11, 0xFF)
    end = address + length
    for number in range(4):
        size = find_octet(address, end - address, ord("."))
        octet = read_octet(address, size)
        is_last = number == 3
        if octet < 0 or (address + size == end) != is_last:
            return 0
        store8(octets + MAPPED_BYTES + number, octet)
        address += size + 1
    return octets


def read_group(address: int, length: int) -> int:
    """One to four hexadecimal digits; -1 when it is something else."""
    if length == 0 or length > 4:
        return -1
    number = 0
    for offset in range(length):
        digit = hexadecimal(load8(address + offset))
        if digit < 0:
            return -1
        number = (number << 4) + digit
    return number


def spread(octets: int, gap: int, count: int) -> int:
    """An address of which the octets from the gap on are its last; 0 when there is no room for a gap."""
    if count > ADDRESS_BYTES - 2:
        return 0
    for offset in range(count - gap):
        store8(octets + ADDRESS_BYTES - 1 - offset, load8(octets + count - 1 - offset))
    for offset in range(gap, ADDRESS_BYTES - count + gap):
        store8(octets + offset, 0)
    return octets


def read_ipv6(address: int, length: int) -> int:
    """An IPv6 address (RFC 4291, section 2.2); 0 when the text is none."""
    octets = unspecified()
    end = address + length
    count = 0
    gap = -1
    if length >= 2 and load8(address) == ord(":") and load8(address + 1) == ord(":"):
        gap = 0
        address += 2
    for _ in range(length):
        if address >= end:
            break
        size = find_octet(address, end - address, ord(":"))
        if find_octet(address, size, ord(".")) < size:
            mapped = read_ipv4(address, size)
            if mapped == 0 or count > MAPPED_BYTES or address + size != end:
                return 0
            copy(mapped + MAPPED_BYTES, 4, octets + count)
            count += 4
            break
        group = read_group(address, size)
        if group < 0 or count > ADDRESS_BYTES - 2:
            return 0
        store8(octets + count, group >> 8)
        store8(octets + count + 1, group & 0xFF)
        count += 2
        address += size
        if address < end:
            address += 1
            if address == end:
                return 0
            if load8(address) == ord(":"):
                if gap >= 0:
                    return 0
                gap = count
                address += 1
    if gap < 0:
        return octets if count == ADDRESS_BYTES else 0
    return spread(octets, gap, count)


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
    """The address of the connection's peer; 0 for one that only the authorizer can tell."""
    source = peer_address()
    if source == 0:
        return 0
    address = address_of(source)
    length = length_of(source)
    if length > 0 and load8(address) == ord("["):
        closing = find_octet(address, length, ord("]"))
        return read_ipv6(address + 1, closing - 1) if closing < length else 0
    return read_ipv4(address, find_octet(address, length, ord(":")))


def is_mapped(octets: int) -> int:
    """Whether it is an IPv4 address."""
    for offset in range(10):
        if load8(octets + offset) != 0:
            return 0
    return load8(octets + 10) == 0xFF and load8(octets + 11) == 0xFF


def is_in_network(octets: int, network: int) -> int:
    """Whether an address is in a network of its own version: 16 octets, then how many bits count."""
    if is_mapped(octets) != is_mapped(network):
        return 0
    bits = load32(network + ADDRESS_BYTES)
    for number in range(ADDRESS_BYTES):
        left = bits - (number << 3)
        if left <= 0:
            break
        mask = 0xFF if left >= 8 else (0xFF << (8 - left)) & 0xFF
        if (load8(octets + number) ^ load8(network + number)) & mask:
            return 0
    return 1


def is_in_networks(octets: int, networks: int) -> int:
    """Networks are how many they are, then each in 20 octets."""
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
    """`source.address`, as the host writes it: left when only the authorizer can tell."""
    return peer_address() if peer() != 0 else LEFT
