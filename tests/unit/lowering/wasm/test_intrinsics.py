"""What the runtime calls that is not written there."""

from __future__ import annotations

import inspect

import pytest

from extauthz.lowering.wasm import intrinsics
from extauthz.lowering.wasm.intrinsics import DOUBLE_COMPARISONS, HOST, INSTRUCTIONS, VOID

DECLARED = dict(inspect.getmembers(intrinsics, inspect.isfunction))


def test_everything_that_is_declared_is_known():
    """And everything that is known is declared, for the type checker."""
    assert DECLARED.keys() == {*INSTRUCTIONS, *DOUBLE_COMPARISONS, *HOST, "invoke"}


@pytest.mark.parametrize("name", HOST)
def test_a_host_function_has_as_many_parameters_as_the_host_wants(name):
    """Its declaration and its import agree."""
    assert len(inspect.signature(DECLARED[name]).parameters) == HOST[name]


def test_what_has_no_value_is_declared_so():
    """`stop` never returns."""
    without = {name for name, f in DECLARED.items() if f.__annotations__["return"] in {"None", "NoReturn"}}
    assert without == VOID


@pytest.mark.parametrize("name", DECLARED)
def test_nothing_here_runs(name):
    """A call in Python would be a mistake."""
    parameters = inspect.signature(DECLARED[name]).parameters
    with pytest.raises(NotImplementedError):
        DECLARED[name](*range(len(parameters)))
