"""Which pattern owns a request: the law of `extauthz.pdp.routes`, over tries by path segment.

A node is five i32: the owner of a path that ends here, the owner of whatever is below, the node below for any segment
that is not empty, and a sorted table of nodes by segment; 0 stands for none. An owner is a record of `table.py`.
"""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import load8, load32, store32
from extauthz.lowering.wasm.runtime.layout import Cell, Configured
from extauthz.lowering.wasm.runtime.memory import address_of, allocate, find_sorted, length_of


def push(stack: int, node: int, depth: int, captured: int) -> int:
    """Remember a node to be visited: how deep it stands, and how many variables are bound above it."""
    store32(stack, node)
    store32(stack + 4, depth)
    store32(stack + 8, captured)
    return stack + 12


def capture(captured: int, segment: int) -> int:
    store32(load32(Cell.CAPTURES) + (captured << 2), segment)
    return captured + 1


def walk(root: int) -> int:
    """The owner below a root, the most specific first, depth first; 0 when there is none.

    What is remembered of a node is done when the nodes that are more specific have failed: its owner of the rest, as a
    negative node, and its variable.
    """
    if root == 0:
        return 0
    segments = load32(Cell.SEGMENTS)
    count = load32(Cell.SEGMENT_COUNT)
    bottom = allocate((count + 2) * 36)  # of each level two are left at most, and three are new
    top = push(bottom, root, 0, 0)
    for _ in range(load32(Configured.NODE_COUNT) * 2 + 1):
        if top == bottom:
            return 0
        top -= 12
        node = load32(top)
        depth = load32(top + 4)
        captured = load32(top + 8)
        if node < 0:  # an owner of the rest
            capture(captured, depth)
            return 0 - node
        if node & 1:  # a variable's node, marked: it binds the segment above
            node -= 1
            captured = capture(captured, depth - 1)
        if load32(node + 4) != 0:
            top = push(top, 0 - load32(node + 4), depth, captured)
        if depth == count:
            if load32(node) != 0:
                return load32(node)
            continue
        segment = load32(segments + (depth << 3))
        length = load32(segments + (depth << 3) + 4)
        if load32(node + 8) != 0 and length > 0:
            top = push(top, load32(node + 8) + 1, depth + 1, captured)
        if load32(node + 12) != 0:
            literal = find_sorted(load32(node + 12), segment, length)
            if literal != 0:
                top = push(top, literal, depth + 1, captured)
    return 0


def find_in_hosts(table: int, address: int, length: int) -> int:
    """The owner under a host that a table names."""
    if table == 0:
        return 0
    return walk(find_sorted(table, address, length))


def find_owner() -> int:
    """The owner of the request: under its host, under the host's suffixes, the longest first, or under any host."""
    store32(Cell.CAPTURES, allocate((load32(Cell.SEGMENT_COUNT) + 2) << 2))
    address = address_of(load32(Cell.HOST))
    length = length_of(load32(Cell.HOST))
    owner = find_in_hosts(load32(Configured.EXACT_HOSTS), address, length)
    if owner != 0:
        return owner
    for offset in range(length):
        if load32(Configured.SUFFIX_HOSTS) == 0:
            break
        if load8(address + offset) == ord("."):
            owner = find_in_hosts(load32(Configured.SUFFIX_HOSTS), address + offset + 1, length - offset - 1)
            if owner != 0:
                return owner
    return walk(load32(Configured.ANY_HOST))
