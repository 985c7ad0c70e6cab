import time

import pytest


def test_rules_are_evaluated_once(compiled):
    """A rule without arguments keeps its result for the evaluation, and anew for replaced input."""
    program = compiled(
        """
        slow := sum([x | some x in numbers.range(1, 10000)])
        result := [y | some i in numbers.range(1, 100); y := slow + i]
        """
    )
    started = time.perf_counter()
    assert program.evaluate("t/result", now_ns=0)[0] == 50_005_001
    assert time.perf_counter() - started < 1


def test_a_function_that_yields_nothing_is_undefined(evaluated):
    """Falling off its end is not null."""
    assert evaluated('f(x) := "y" if x == 1\nresult contains y if { some x in [1, 2]; y := f(x) }') == ["y"]
    assert evaluated("f(x) := null if x == 1\nresult if { not f(2) }") is True


@pytest.mark.parametrize("rules", [5, 40])
def test_indexed_functions_with_arguments(evaluated, rules):
    """Cases of a function are picked by their literal, indexed or not."""
    cases = "\n".join(f'f("k{i}", x) := x + {i}' for i in range(rules))
    assert evaluated(f'{cases}\nresult := [f("k0", 1), f("k{rules - 1}", 1)]') == [1, rules]
    assert evaluated(f'{cases}\nresult if not f("none", 1)') is True
