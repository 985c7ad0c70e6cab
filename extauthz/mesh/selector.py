"""Label selectors, as Kubernetes has them (`metav1.LabelSelector`)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Operator(StrEnum):
    """How a label is compared with values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(BaseModel):
    """One expression on one label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(min_length=1)
    operator: Operator
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if bool(self.values) is not (self.operator in {Operator.IN, Operator.NOT_IN}):
            raise ValueError(f"{self.operator} takes {'no values' if self.values else 'values'}")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it; one that is absent is in no list."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None


class LabelSelector(BaseModel):
    """All of its labels and expressions; it is never empty, since that would select everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match_labels: dict[str, str] = Field(default_factory=dict, alias="matchLabels")
    match_expressions: tuple[Requirement, ...] = Field(default=(), alias="matchExpressions")

    @model_validator(mode="after")
    def _selects_something(self) -> Self:
        if not self.match_labels and not self.match_expressions:
            raise ValueError("an empty selector would select every pod: give matchLabels or matchExpressions")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy all of it."""
        return all(labels.get(name) == value for name, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )
