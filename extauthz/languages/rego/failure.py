"""What can go wrong while a policy is evaluated. What is wrong with the policy itself is a `PolicyError` at load."""

from __future__ import annotations

from extauthz.errors import ExtAuthzError


class RegoEvaluationError(ExtAuthzError):
    """The policy has no answer for this input: a conflict, or a built-in's error where those are strict.

    The message names the place in the policy, and never a value of the input.
    """


class RegoConflictError(RegoEvaluationError):
    """Rules contradict each other on this input."""

    def __init__(self, place: str, problem: str) -> None:
        """`place` is where in the policy, as `shop.rego:7`."""
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class RegoLimitError(RegoEvaluationError):
    """The evaluation was stopped: its deadline passed, or its budget of steps is spent, or it nests too deeply.

    Nothing is known about the answer; whoever decides must treat that as could-not-decide.
    """


class BuiltinError(Exception):
    """A built-in cannot compute its result from these operands.

    Undefined in the ordinary mode, a `RegoEvaluationError` in the strict one. The message never quotes an operand.
    """
