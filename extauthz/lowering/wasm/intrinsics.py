"""What the functions of `runtime` call that is not written there: instructions, and the host (proxy-wasm 0.2.1).

Declarations, for the type checker and for `language.py`, which puts an instruction or a host call in the place of each
call: nothing here runs.
"""

from __future__ import annotations

from typing import NoReturn

from extauthz.lowering.wasm import assembler

INSTRUCTIONS: dict[str, bytes] = {
    "load8": assembler.LOAD_8,
    "load32": assembler.LOAD_32,
    "store8": assembler.STORE_8,
    "store32": assembler.STORE_32,
    "memory_pages": assembler.MEMORY_SIZE,
    "grow_memory": assembler.MEMORY_GROW,
    "stop": assembler.UNREACHABLE,
}
"""By name; operands in order."""

DOUBLE_COMPARISONS: dict[str, bytes] = {
    "doubles_equal": assembler.DOUBLES_EQUAL,
    "doubles_less": assembler.DOUBLES_LESS,
}
"""Of the two doubles at addresses."""

VOID = frozenset({"store8", "store32", "stop"})
"""Those without a value."""

HOST = {
    "proxy_get_header_map_pairs": 3,
    "proxy_get_property": 4,
    "proxy_remove_header_map_value": 3,
    "proxy_replace_header_map_value": 5,
    "proxy_send_local_response": 8,
    "proxy_set_property": 4,
}
"""The host's functions, with how many parameters each has. Each returns a status."""

OK = 0
"""The only status that is not a failure."""
NOT_FOUND = 1
REQUEST_HEADERS = 0
"""The map of the request's headers."""


def load8(address: int) -> int:
    """An octet, 0 to 255."""
    raise NotImplementedError


def load32(address: int) -> int:
    """A little-endian i32."""
    raise NotImplementedError


def store8(address: int, value: int) -> None:
    raise NotImplementedError


def store32(address: int, value: int) -> None:
    raise NotImplementedError


def memory_pages() -> int:
    """How much memory there is, in pages of 64 KiB."""
    raise NotImplementedError


def grow_memory(pages: int) -> int:
    """More memory; negative when there is none."""
    raise NotImplementedError


def stop() -> NoReturn:
    """Stop the module: Envoy answers 503, and starts it anew."""
    raise NotImplementedError


def doubles_equal(left: int, right: int) -> int:
    """Whether the doubles at two addresses are equal."""
    raise NotImplementedError


def doubles_less(left: int, right: int) -> int:
    """Whether the double at the first address is less than that at the second."""
    raise NotImplementedError


def invoke(table_index: int) -> int:
    """Call a function without parameters that the policy set has put into the table."""
    raise NotImplementedError


def proxy_get_header_map_pairs(map_type: int, address_at: int, length_at: int) -> int:
    """All headers; their encoding's address and length are written to the two addresses."""
    raise NotImplementedError


def proxy_get_property(path: int, path_length: int, address_at: int, length_at: int) -> int:
    """The value of an attribute of the request; its address and length are written to the two addresses."""
    raise NotImplementedError


def proxy_set_property(key: int, key_length: int, value: int, value_length: int) -> int:
    """Write the filter state `wasm.<key>`."""
    raise NotImplementedError


def proxy_replace_header_map_value(map_type: int, name: int, name_length: int, value: int, value_length: int) -> int:
    """Set a header; all values that it has are replaced."""
    raise NotImplementedError


def proxy_remove_header_map_value(map_type: int, name: int, name_length: int) -> int:
    raise NotImplementedError


def proxy_send_local_response(  # noqa: PLR0917 - the host's
    status: int,
    details: int,
    details_length: int,
    body: int,
    body_length: int,
    headers: int,
    headers_length: int,
    grpc_status: int,
) -> int:
    """Answer the request; -1 for a gRPC status that follows from the HTTP status."""
    raise NotImplementedError
