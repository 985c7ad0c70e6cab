"""Modules in binary format, as wasmtime reads and runs them."""

from __future__ import annotations

import pytest
import wasmtime

from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.assembler import Module


def run(module: Module, name: str, *arguments: int, data: bytes = b"") -> int:
    engine = wasmtime.Engine()
    compiled = wasmtime.Module(engine, module.encode([(0, data)], 1))
    store = wasmtime.Store(engine)
    host = wasmtime.Func(
        store, wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()]), lambda number: number + 1000
    )
    imports = [host] * len(compiled.imports)
    function = wasmtime.Instance(store, compiled, imports).exports(store)[name]
    assert isinstance(function, wasmtime.Func)
    return int(function(store, *arguments))


def one_function(body: bytes, parameters: int = 1, locals_: int = 0) -> Module:
    module = Module()
    index = module.declare(parameters, result=True)
    module.define(index, locals_, body)
    module.export("f", index)
    return module


@pytest.mark.parametrize("number", [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, 2**31 - 1, -(2**31)])
def test_a_constant_is_itself(number):
    """At every length of its encoding."""
    assert run(one_function(wasm.constant(number), 0), "f") == number


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (624485, b"\xe5\x8e\x26")]
)
def test_unsigned_numbers_are_leb128(number, encoded):
    """The last is the example of the format's own description."""
    assert wasm.unsigned(number) == encoded


def test_a_loop_is_left_by_a_branch():
    """The sum of the numbers below the parameter."""
    step = wasm.get_local(1) + wasm.get_local(0) + wasm.ADD + wasm.set_local(1)
    down = wasm.get_local(0) + wasm.constant(1) + wasm.SUBTRACT + wasm.tee_local(0) + wasm.EQZ + wasm.branch_if(1)
    body = wasm.block(wasm.loop(down + step + wasm.branch(0))) + wasm.get_local(1)
    assert run(one_function(body, 1, 1), "f", 5) == 4 + 3 + 2 + 1


def test_only_the_branch_that_is_chosen_runs():
    """The other one stops the machine."""
    module = one_function(wasm.choose(wasm.get_local(0), wasm.constant(7), wasm.UNREACHABLE))
    assert run(module, "f", 1) == 7
    with pytest.raises(wasmtime.Trap):
        run(module, "f", 0)


def test_imported_functions_come_first():
    """A declared function calls the host's and its own."""
    module = Module()
    host = module.import_function("host", 1)
    inner = module.declare(1, result=True)
    outer = module.declare(1, result=True)
    module.define(inner, 0, wasm.call(host, wasm.get_local(0)))
    module.define(outer, 0, wasm.call(inner, wasm.get_local(0)))
    module.export("f", outer)
    assert run(module, "f", 7) == 1007


def test_a_function_is_called_by_its_place_in_the_table():
    """And at a place where there is none the machine stops."""
    module = Module()
    functions = [module.declare(0, result=True) for _ in range(3)]
    for number, index in enumerate(functions):
        module.define(index, 0, wasm.constant(number))
    places = [module.table_index(functions[n]) for n in (2, 1, 2)]
    caller = module.declare(1, result=True)
    module.define(caller, 0, module.call_indirect(b"", wasm.get_local(0), 0))
    module.export("f", caller)
    assert places == [0, 1, 0]
    assert [run(module, "f", place) for place in (0, 1)] == [2, 1]
    with pytest.raises(wasmtime.Trap):
        run(module, "f", 2)


def test_memory_begins_with_the_data():
    """Read at any address, aligned or not."""
    assert run(one_function(wasm.get_local(0) + wasm.LOAD_32), "f", 1, data=b"\0\x01\x02\0\0\xff") == 0x0201


def test_what_is_declared_must_be_defined():
    """A module without a body for a function is never written."""
    module = Module()
    module.declare(0, result=True)
    with pytest.raises(AssertionError, match="not defined"):
        module.encode([], 1)
