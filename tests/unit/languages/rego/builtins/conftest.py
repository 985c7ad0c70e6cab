"""Calls of built-ins as generated code makes them."""

from collections.abc import Callable
from typing import Any

import pytest

from extauthz.languages.rego.builtins.table import BUILTINS
from extauthz.languages.rego.evaluation import DEFAULT_BUDGET, Evaluation

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
def call() -> Callable[..., Any]:
    """Calls a built-in by OPA's name, all in one evaluation."""
    evaluations: dict[int, Evaluation] = {}

    def invoke(name: str, *operands: Any, budget: int = DEFAULT_BUDGET) -> Any:
        evaluation = evaluations.setdefault(
            budget, Evaluation(0, now_ns=NOW_NS, clock=lambda: 0.0, deadline=None, budget=budget, strict=False)
        )
        builtin = BUILTINS[name]
        assert len(operands) == builtin.arity
        return builtin.function(*([evaluation] if builtin.stateful else []), *operands)

    return invoke
