"""Rego: policies compiled to Python.

Source becomes a plan (OPA's intermediate representation, made by a planner outside of this room), the plan is read
(`plan`), verified (`verify`, `flow`) and written as Python (`blocks`, `statements`); built-ins are Python functions
(`builtins`). An input is then evaluated in microseconds, with a deadline and a budget. What a request can provoke is an
answer or a `RegoEvaluationError`; what is wrong with a policy is a `PolicyError` when it is loaded.
"""

from __future__ import annotations

from extauthz.languages.rego.bundle import Bundle, read_bundle
from extauthz.languages.rego.data_files import DataFile, join_data
from extauthz.languages.rego.failure import RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.modules import Module, Planner, load_modules, parse_data
from extauthz.languages.rego.program import Limits, RegoProgram, load_plan
from extauthz.languages.rego.value import UNDEFINED, Value

__all__ = [
    "UNDEFINED",
    "Bundle",
    "DataFile",
    "Limits",
    "Module",
    "Planner",
    "RegoEvaluationError",
    "RegoLimitError",
    "RegoProgram",
    "Value",
    "join_data",
    "load_modules",
    "load_plan",
    "parse_data",
    "read_bundle",
]
