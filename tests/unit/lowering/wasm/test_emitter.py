"""A module in the making."""

from __future__ import annotations

import itertools

import wasmtime

from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.emitter import FAILURE, UNKNOWN, Code, Emitter, constant, truth
from tests.harness.machine import SINGLES, Machine


def outcome(emitter: Emitter, code: Code) -> object:
    function = emitter.function(code)
    emitter.module.export("f", function)
    emitter.module.table_index(function)
    machine = Machine(emitter)
    return machine.value(machine.call("f"))


def test_operators_that_pass_over_an_operand_come_to_the_same():
    """As the functions that evaluate both."""
    emitter = Emitter()
    pairs = list(itertools.product(SINGLES, repeat=2))
    cases = [(name, left, right) for name in ("both", "either") for left, right in pairs]
    for name, left, right in cases:
        lazy = emitter.function(getattr(emitter, name)(constant(left), constant(right)))
        emitter.module.export(f"{name} {left} {right}", lazy)
        emitter.module.table_index(lazy)
    machine = Machine(emitter)
    for name, left, right in cases:
        assert machine.call(f"{name} {left} {right}") == machine.call(name, left, right)


def test_an_operand_that_does_not_matter_is_not_evaluated():
    """It would stop the machine."""
    emitter = Emitter()
    assert outcome(emitter, emitter.both(truth(holds=False), wasm.UNREACHABLE)) == "false"
    emitter = Emitter()
    assert outcome(emitter, emitter.either(truth(holds=True), wasm.UNREACHABLE)) == "true"


def test_operators_nest():
    """They share one local, each for as long as it needs it."""
    emitter = Emitter()
    t, f = truth(holds=True), truth(holds=False)
    inner = emitter.either(emitter.both(t, f), emitter.both(t, emitter.either(f, t)))
    assert outcome(emitter, emitter.both(emitter.either(f, t), inner)) == "true"


def test_constants_are_left_out():
    """None of any is false, none of all is true."""
    emitter = Emitter()
    unknown = UNKNOWN
    assert emitter.all_of([]) == truth(holds=True)
    assert emitter.any_of([]) == truth(holds=False)
    assert emitter.all_of([truth(holds=True), unknown]) == unknown
    assert emitter.all_of([unknown, truth(holds=False)]) == truth(holds=False)
    assert emitter.any_of([FAILURE, truth(holds=True)]) == truth(holds=True)


def test_the_same_function_is_there_once():
    """By its instructions."""
    emitter = Emitter()
    assert emitter.function(truth(holds=True)) == emitter.function(truth(holds=True))
    assert emitter.function(truth(holds=True)) != emitter.function(truth(holds=False))


def test_modules_share_nothing_but_the_runtime():
    """What one adds is not in the next."""
    first, second = Emitter(), Emitter()
    index = first.function(truth(holds=True))
    assert second.function(truth(holds=False)) == index
    first.module.export("f", index)
    second.module.table_index(index)
    assert b"\x01f\x00" not in second.module.encode([], 1)


def test_a_module_exports_what_envoy_calls():
    """And nothing else but its memory; it imports what it may call."""
    emitter = Emitter()
    emitter.module.table_index(emitter.function(FAILURE))
    module = wasmtime.Module(wasmtime.Engine(), emitter.finished({}))
    exported = {export.name for export in module.exports}
    assert {name for name in exported if not name.startswith("proxy_")} == {"memory"}
    assert {"proxy_abi_version_0_2_1", "proxy_on_request_headers", "proxy_on_memory_allocate"} < exported
    assert all(imported.name is not None and imported.name.startswith("proxy_") for imported in module.imports)
