"""WebAssembly modules in binary format (WebAssembly Core 1.0, section 5): what ours need of it, and nothing else.

Every value is an i32. A function's body is its instructions as bytes, made by the functions of this file; a function is
called by its index, which it has as soon as it is declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PAGE_BYTES = 65_536

_I32 = 0x7F
_EMPTY = 0x40
_FUNCTION_TYPE = 0x60
_FUNCTION_REFERENCE = 0x70
_END = b"\x0b"

MAXIMUM_PAGES = 2048
"""128 MiB: a module that wants more stops, and so denies."""


def unsigned(number: int) -> bytes:
    """LEB128."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def signed(number: int) -> bytes:
    """LEB128 of a number in two's complement."""
    encoded = bytearray()
    while not -0x40 <= number < 0x40:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number & 0x7F)
    return bytes(encoded)


# --- Instructions: operands come first -----------------------------------------------------------------------------

UNREACHABLE = b"\x00"
RETURN = b"\x0f"
DROP = b"\x1a"
EQZ = b"\x45"
EQUAL = b"\x46"
NOT_EQUAL = b"\x47"
LESS = b"\x48"
GREATER = b"\x4a"
LESS_OR_EQUAL = b"\x4c"
GREATER_OR_EQUAL = b"\x4e"
ADD = b"\x6a"
SUBTRACT = b"\x6b"
MULTIPLY = b"\x6c"
DIVIDE = b"\x6d"
REMAINDER = b"\x6f"
AND = b"\x71"
OR = b"\x72"
XOR = b"\x73"
SHIFT_LEFT = b"\x74"
SHIFT_RIGHT = b"\x75"
LOAD_8 = b"\x2d\x00\x00"
LOAD_32 = b"\x28\x00\x00"
"""Of any address: alignment is a hint."""
STORE_8 = b"\x3a\x00\x00"
STORE_32 = b"\x36\x00\x00"
LOAD_DOUBLE = b"\x2b\x00\x00"
DOUBLES_EQUAL = b"\x61"
DOUBLES_LESS = b"\x63"
MEMORY_SIZE = b"\x3f\x00"
MEMORY_GROW = b"\x40\x00"
ELSE = b"\x05"
END = _END


def constant(number: int) -> bytes:
    return b"\x41" + signed(number)


def get_local(index: int) -> bytes:
    return b"\x20" + unsigned(index)


def set_local(index: int) -> bytes:
    return b"\x21" + unsigned(index)


def tee_local(index: int) -> bytes:
    return b"\x22" + unsigned(index)


def call(function: int, *arguments: bytes) -> bytes:
    return b"".join(arguments) + b"\x10" + unsigned(function)


def branch(depth: int) -> bytes:
    """To the end of the block that many blocks further out, or to the beginning of a loop."""
    return b"\x0c" + unsigned(depth)


def branch_if(depth: int) -> bytes:
    return b"\x0d" + unsigned(depth)


def block(body: bytes) -> bytes:
    return b"\x02" + bytes([_EMPTY]) + body + _END


def loop(body: bytes) -> bytes:
    return b"\x03" + bytes([_EMPTY]) + body + _END


def if_(condition: bytes, then: bytes, otherwise: bytes = b"") -> bytes:
    """Without a value."""
    return condition + b"\x04" + bytes([_EMPTY]) + then + (ELSE + otherwise if otherwise else b"") + _END


def choose(condition: bytes, then: bytes, otherwise: bytes) -> bytes:
    """The value of one of the two."""
    return condition + b"\x04" + bytes([_I32]) + then + ELSE + otherwise + _END


# --- Modules -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Function:
    type: int
    body: bytes | None = None
    """With its locals, encoded; None until it is defined."""


@dataclass(slots=True)
class Module:
    """A module in the making."""

    _types: dict[tuple[int, bool], int] = field(default_factory=dict)
    _imports: list[bytes] = field(default_factory=list)
    _functions: list[_Function] = field(default_factory=list)
    _exports: list[bytes] = field(default_factory=list)
    _table: dict[int, int] = field(default_factory=dict)

    def copied(self) -> Module:
        """A module with the same functions, to which others are added."""
        return Module(
            dict(self._types), list(self._imports), list(self._functions), list(self._exports), dict(self._table)
        )

    def import_function(self, name: str, parameters: int) -> int:
        """One of the host's, with a result; all imports come before all declarations.

        Returns:
            The function's index.
        """
        assert not self._functions, "the indices of declared functions follow those of imported ones"  # noqa: S101
        self._imports.append(_name("env") + _name(name) + b"\x00" + unsigned(self._type(parameters, result=True)))
        return len(self._imports) - 1

    def declare(self, parameters: int, *, result: bool) -> int:
        """A function of the module, to be defined later.

        Returns:
            The function's index.
        """
        self._functions.append(_Function(self._type(parameters, result=result)))
        return len(self._imports) + len(self._functions) - 1

    def define(self, index: int, local_count: int, body: bytes) -> None:
        """Give a declared function its instructions.

        Args:
            index: of the function.
            local_count: how many locals it has besides its parameters.
            body: without its end.
        """
        function = self._functions[index - len(self._imports)]
        assert function.body is None, "a function is defined once"  # noqa: S101
        locals_ = _vector([unsigned(local_count) + bytes([_I32])]) if local_count else b"\x00"
        function.body = _sized(locals_ + body + _END)

    def export(self, name: str, index: int) -> None:
        self._exports.append(_name(name) + b"\x00" + unsigned(index))

    def table_index(self, index: int) -> int:
        """Where in the table of functions this one stands, for indirect calls; it is put there when it is not."""
        return self._table.setdefault(index, len(self._table))

    def call_indirect(self, arguments: bytes, table_index: bytes, parameters: int) -> bytes:
        """Call the function at an index of the table, which the machine checks, the function's type included."""
        return arguments + table_index + b"\x11" + unsigned(self._type(parameters, result=True)) + b"\x00"

    def encode(self, data: Sequence[tuple[int, bytes]], pages: int) -> bytes:
        """The whole module.

        Args:
            data: what the memory holds at first, by address.
            pages: how much memory there is at first.
        """
        bodies = [function.body for function in self._functions]
        assert None not in bodies, "a declared function is not defined"  # noqa: S101
        table = unsigned(len(self._table))
        elements = b"\x00" + constant(0) + _END + _vector(unsigned(index) for index in self._table)
        memory = b"\x01" + unsigned(pages) + unsigned(max(pages, MAXIMUM_PAGES))
        sections: Iterable[tuple[int, bytes]] = (
            (1, _vector(_function_type(*key) for key in self._types)),
            (2, _vector(self._imports)),
            (3, _vector(unsigned(function.type) for function in self._functions)),
            (4, _vector([bytes([_FUNCTION_REFERENCE]) + b"\x01" + table + table])),
            (5, _vector([memory])),
            (7, _vector([*self._exports, _name("memory") + b"\x02\x00"])),
            (9, _vector([elements])),
            (10, _vector(body for body in bodies if body is not None)),
            (11, _vector(b"\x00" + constant(address) + _END + _sized(held) for address, held in data)),
        )
        return b"\0asm\1\0\0\0" + b"".join(bytes([number]) + _sized(content) for number, content in sections)

    def _type(self, parameters: int, *, result: bool) -> int:
        return self._types.setdefault((parameters, result), len(self._types))


def _function_type(parameters: int, result: bool) -> bytes:  # noqa: FBT001 - a key of the table of types
    return bytes([_FUNCTION_TYPE]) + _vector([bytes([_I32])] * parameters) + _vector([bytes([_I32])] * result)


def _vector(items: Iterable[bytes]) -> bytes:
    items = list(items)
    return unsigned(len(items)) + b"".join(items)


def _sized(content: bytes) -> bytes:
    return unsigned(len(content)) + content


def _name(text: str) -> bytes:
    return _sized(text.encode())
