"""Our part of Python: what it computes, and what is not in it."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
import wasmtime

from extauthz.lowering.wasm.assembler import UNREACHABLE, Module
from extauthz.lowering.wasm.language import Functions, LanguageError

HEAD = """\
from extauthz.lowering.wasm.intrinsics import *
from extauthz.lowering.wasm.runtime.layout import Kind
LIMIT = 7
"""


class Source:
    """Writes Python modules."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def module(self, text: str) -> ModuleType:
        path = self._directory / "source.py"
        path.write_text(HEAD + textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location("source", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


def compiled(module: ModuleType) -> Functions:
    functions = Functions(Module())
    functions.compile([module])
    return functions


def run(module: ModuleType, *arguments: int) -> int:
    """The function `f`, compiled."""
    functions = compiled(module)
    last = functions.module.declare(0, result=True)
    functions.module.define(last, 0, UNREACHABLE)
    functions.module.table_index(last)
    functions.module.export("f", functions.by_name["f"].index)
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, functions.module.encode([], 1)), [])
    function = instance.exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    return int(function(store, *arguments))


PROGRAMS = {
    "arithmetic": """
        def f(a: int, b: int) -> int:
            return (a + b * 3 + 1) // 2 % 5 | (a & b) ^ (a << 2) - (b >> 1)
    """,
    "comparisons": """
        def f(a: int, b: int) -> int:
            in_set = (a in {b, 3}) * 8 + (a not in {b, 3}) * 16
            return (a < b) + (a == b) * 2 + (1 <= a <= b) * 4 + in_set
    """,
    "conditions": "def f(a: int, b: int) -> int:\n    return 1 if (a and not b) or (a > 2 and b) else min(a, b)\n",
    "branches": """
        def f(a: int, b: int) -> int:
            if a < b:
                return 1
            elif a == b:
                c = 5
            else:
                c = LIMIT
            c += a
            return c
    """,
    "loops": """
        def f(a: int, b: int) -> int:
            total = 0
            for i in range(a, b + 5):
                if i == 3:
                    continue
                for j in range(i):
                    if j > 4:
                        break
                    total += j
                i = 100
                total += 1
            return total
    """,
    "calls": """
        def g(a: int) -> int:
            return a * Kind.TEXT

        def f(a: int, b: int) -> int:
            return g(a) + g(b) + ord("x")
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_function_computes_what_python_does(source, name):
    """Over numbers that are not negative."""
    module = source.module(PROGRAMS[name])
    for a in range(7):
        for b in range(7):
            assert run(module, a, b) == int(module.f(a, b)), (a, b)


def test_a_loop_ends_where_it_was_to_end(source):
    """Whatever its body does to the variable, or to what the end was computed from."""
    text = """
        def f(a: int) -> int:
            count = 0
            for i in range(a):
                i -= 10
                a += 1
                count += 1
            return count
    """
    assert run(source.module(text), 5) == 5


REFUSED = {
    "while": "def f(a: int) -> int:\n    while a:\n        a -= 1\n    return a\n",
    "recursion": "def f(a: int) -> int:\n    return f(a)\n",
    "a call of a later function": "def f(a: int) -> int:\n    return g(a)\ndef g(a: int) -> int:\n    return a\n",
    "a loop over something else": "def f(a: int) -> int:\n    for i in [1, 2]:\n        a += i\n    return a\n",
    "a text": "def f(a: int) -> int:\n    b = 'x'\n    return a\n",
    "an unknown name": "def f(a: int) -> int:\n    return a + unknown\n",
    "a name before it is assigned": "def f(a: int) -> int:\n    b = c\n    c = a\n    return b\n",
    "an operand evaluated twice": "def f(a: int) -> int:\n    return 1 <= load8(a) <= 2\n",
    "a keyword": "def f(a: int) -> int:\n    return load8(address=a)\n",
    "no result": "def f(a: int) -> int:\n    return\n",
    "two functions of one name": "def f(a: int) -> int:\n    return a\ndef f(a: int) -> int:\n    return a\n",
    "a division of floats": "def f(a: int) -> int:\n    return a / 2\n",
    "an exception": "def f(a: int) -> int:\n    raise ValueError\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_might_not_end_or_is_not_in_it_is_refused(source, name):
    """When the module is made, not when it runs."""
    with pytest.raises(LanguageError):
        compiled(source.module(REFUSED[name]))


def test_a_call_has_as_many_arguments_as_parameters(source):
    """Also a call that is written for a policy set."""
    functions = compiled(source.module("def f(a: int) -> int:\n    return a\n"))
    with pytest.raises(LanguageError, match="takes 1 arguments, not 0"):
        functions.call("f")


def test_a_function_that_comes_to_its_end_without_a_value_stops(source):
    """It is a mistake, and no answer comes of it."""
    module = source.module("def f(a: int) -> int:\n    if a:\n        return 1\n")
    assert run(module, 1) == 1
    with pytest.raises(wasmtime.Trap):
        run(module, 0)
