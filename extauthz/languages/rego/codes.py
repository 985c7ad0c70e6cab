"""The codes of Rego's diagnostics, from EAZ851 on. A code is never given a second meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class RegoCode(StrEnum):
    """A diagnostic's code; `meaning` is its one line in the documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member is written as its code and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    SYNTAX = "EAZ851", "a Rego module that cannot be read"
    UNKNOWN_FUNCTION = "EAZ852", "a function that no module defines"
    REFUSED_BUILTIN = "EAZ853", "a built-in function that cannot be used here"
    ARITY = "EAZ854", "a call with too many or too few arguments"
    RECURSION = "EAZ855", "a rule that depends on itself"
    UNSAFE_VARIABLE = "EAZ856", "a variable that nothing gives a value"
    NOT_PLANNED = "EAZ857", "modules that cannot be compiled"
    NOT_A_PLAN = "EAZ858", "a plan or a bundle that cannot be used"
    DATA = "EAZ859", "a data document that cannot be used"
    UNKNOWN_RULE = "EAZ860", "a rule that no module defines"
