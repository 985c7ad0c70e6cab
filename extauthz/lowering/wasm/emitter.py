"""A module in the making: the runtime, and what is written for a policy set on top of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.assembler import PAGE_BYTES, Module
from extauthz.lowering.wasm.data import Data
from extauthz.lowering.wasm.intrinsics import HOST
from extauthz.lowering.wasm.language import Functions
from extauthz.lowering.wasm.runtime import (
    address,
    caller,
    header,
    host,
    items,
    memory,
    path,
    protobuf,
    reply,
    request,
    trie,
    upstream,
    values,
)
from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, TRUE, Configured

RUNTIME = (memory, header, path, host, trie, protobuf, values, items, caller, address, upstream, reply, request)
"""In the order in which they build on each other."""

_HOST_CALLS_US = "proxy_"
_HEAP_PAGES = 4
"""For an ordinary request; more is there when it is wanted."""

OPERAND = 0
"""The local that each function has for `both` and the like."""

Code: TypeAlias = bytes
"""Instructions that leave one value."""
Combine: TypeAlias = Callable[[Code, Code], Code]


@cache
def compiled_runtime() -> Functions:
    """The runtime's functions, which every module begins with."""
    functions = Functions(Module())
    functions.import_host(HOST)
    functions.compile(RUNTIME)
    return functions


class Emitter:
    """Instructions and data, and the functions made of them."""

    def __init__(self) -> None:
        runtime = compiled_runtime()
        self.module = runtime.module.copied()
        self.data = Data()
        self.functions = Functions(self.module, dict(runtime.by_name))
        self._emitted: dict[tuple[int, Code], int] = {}

    # --- Instructions ---

    def call(self, name: str, *arguments: int | Code) -> Code:
        """Call a function of the runtime; numbers are constants."""
        codes = [wasm.constant(a) if isinstance(a, int) else a for a in arguments]
        return self.functions.call(name, *codes)

    def both(self, left: Code, right: Code) -> Code:
        """`&&`; the right operand is not evaluated when the left one is false."""
        return self._unless(left, FALSE, "both", right)

    def either(self, left: Code, right: Code) -> Code:
        """`||`; the right operand is not evaluated when the left one is true."""
        return self._unless(left, TRUE, "either", right)

    def all_of(self, parts: Sequence[Code]) -> Code:
        return self._folded(parts, FALSE, TRUE, self.both)

    def any_of(self, parts: Sequence[Code]) -> Code:
        return self._folded(parts, TRUE, FALSE, self.either)

    def _unless(self, left: Code, decisive: int, name: str, right: Code) -> Code:
        is_decisive = left + wasm.tee_local(OPERAND) + wasm.constant(decisive) + wasm.EQUAL
        combined = self.call(name, wasm.get_local(OPERAND), right)
        return wasm.choose(is_decisive, wasm.constant(decisive), combined)

    @staticmethod
    def _folded(parts: Sequence[Code], decisive: int, neutral: int, combine: Combine) -> Code:
        """All parts together, what is constant left out."""
        kept = [part for part in parts if part != wasm.constant(neutral)]
        if wasm.constant(decisive) in kept:
            return wasm.constant(decisive)
        if not kept:
            return wasm.constant(neutral)
        whole = kept[0]
        for part in kept[1:]:
            whole = combine(whole, part)
        return whole

    # --- Functions ---

    def function(self, body: Code, local_count: int = 1) -> int:
        """A function without parameters, as its index; the same instructions are the same function."""
        known = self._emitted.get((local_count, body))
        if known is None:
            known = self._emitted[local_count, body] = self.module.declare(0, result=True)
            self.module.define(known, local_count, body)
        return known

    def finished(self, configured: Mapping[Configured, int]) -> bytes:
        """The module, with what the policy set fixes."""
        for cell, number in configured.items():
            self.data.fill(cell, [number])
        begin = len(self.data.finished())
        self.data.fill(Configured.HEAP_BEGIN, [begin])
        for name, function in self.functions.by_name.items():
            if name.startswith(_HOST_CALLS_US) and name not in HOST:
                self.module.export(name, function.index)
        return self.module.encode([(0, self.data.finished())], begin // PAGE_BYTES + 1 + _HEAP_PAGES)


def constant(value: int) -> Code:
    return wasm.constant(value)


def truth(holds: bool) -> Code:  # noqa: FBT001 - a literal
    return constant(TRUE if holds else FALSE)


FAILURE = constant(ERROR)
UNKNOWN = constant(LEFT)
