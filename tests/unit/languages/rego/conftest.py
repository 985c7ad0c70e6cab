"""Programs from Rego text, compiled by the planner that is part of the installation."""

from collections.abc import Callable
from typing import Any

import pytest

from extauthz.languages.rego import UNDEFINED, Module, RegoProgram, load_modules
from extauthz.sources.rego_planner import plan_with_regopy

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
def compiled() -> Callable[..., RegoProgram]:
    """Compiles modules of package `t`, for the documents asked for."""

    def compile_text(text: str, *entry_points: str, data: Any = None) -> RegoProgram:
        module = Module("t.rego", f"package t\n\n{text}")
        return load_modules([module], data or {}, entry_points or ("t/result",), plan_with_regopy)

    return compile_text


@pytest.fixture
def evaluated(compiled: Callable[..., RegoProgram]) -> Callable[..., Any]:
    """The value of `result` of a module."""

    def evaluate(text: str, document: Any = UNDEFINED, *, data: Any = None, **options: Any) -> Any:
        return compiled(text, data=data).evaluate("t/result", document, **{"now_ns": NOW_NS, **options})

    return evaluate
