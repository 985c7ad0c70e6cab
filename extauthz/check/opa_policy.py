"""What the drop-in decides by: a plan of the operator's modules, and of one of ours that asks for their decision.

Asked through a module of our own, any document can be the decision: a rule, a whole package, a member of either, data
beside the policy, or one that nobody defines, which is undefined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from extauthz.check.opa_input import InputPath
from extauthz.languages.rego.modules import Module
from extauthz.languages.rego.program import Limits, RegoProgram, load_plan
from extauthz.languages.rego.value import Value
from extauthz.model.policy import PolicySet

PACKAGE: Final = "extauthz_decision"
"""Of our module; the operator has none of this name."""

DECISION: Final = "decision"
"""The question that Checks ask."""
MASK: Final = "mask"
"""The question of what to leave out of a line of the decision log."""
DROP: Final = "drop"
"""The question whether to leave the line out."""

Path: TypeAlias = Sequence[str | int]
"""Into the data document: names, and positions in arrays."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of Rego, without variables, whose value is wanted: of OPA's deprecated ad-hoc queries, these."""

    text: str


Question: TypeAlias = Path | Expression


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS: Final = frozenset(
    "as default else false import not null package some true with contains every if in".split()  # noqa: SIM905 - one word after the other
)


def reference(path: Path) -> str:
    """The path as Rego has it: `data.envoy.authz["my rule"][0]`."""
    return "data" + "".join(
        f".{step}"
        if type(step) is str and _IDENTIFIER.fullmatch(step) and step not in _KEYWORDS
        else f"[{json.dumps(step, ensure_ascii=False)}]"
        for step in path
    )


def path_steps(text: str) -> tuple[str | int, ...]:
    """A path such as `envoy/authz/allow`: names and, where they are numbers, positions."""
    return tuple(int(step) if re.fullmatch(r"[+-]?[0-9]{1,18}", step) else step for step in text.split("/") if step)


_REFERENCE = re.compile(r'data((?:\.[A-Za-z_]\w*|\["[^"\\]*"\]|\[[0-9]{1,18}\])*)')
_STEP = re.compile(r'\.([A-Za-z_]\w*)|\["([^"\\]*)"\]|\[([0-9]+)\]')


def query_steps(query: str) -> tuple[str | int, ...] | None:
    """The path of a query that is one reference, as in `data.envoy.authz["allow"]`; None for any other."""
    found = _REFERENCE.fullmatch(query.strip())
    if found is None:
        return None
    return tuple(int(number) if number else name or quoted for name, quoted, number in _STEP.findall(found[1]))


def query_module(questions: Mapping[str, Question]) -> Module:
    """Our module: a rule for each question."""
    rules = (
        f"{name} := {question.text if isinstance(question, Expression) else reference(question)}"
        for name, question in questions.items()
    )
    return Module("<decision>", "\n\n".join([f"package {PACKAGE}", *rules]) + "\n")


def entry_points(questions: Iterable[str]) -> list[str]:
    """What a planner is asked for."""
    return [f"{PACKAGE}/{name}" for name in questions]


@dataclass(frozen=True, slots=True)
class OpaPolicy:
    """A policy that has been checked, for whoever decides by it: other processes get it as it is."""

    plan: object
    """Its JSON document."""
    data: dict[str, Value]
    entry_points: Mapping[str, str]
    """The documents that answer the questions, by question."""
    revision: str
    """A digest of all that it was made from."""
    bundles: Mapping[str, str] = field(default_factory=dict)
    """The revisions of the bundles in it, by their names."""
    policy_set: PolicySet | None = None
    """Who vouches for callers, and what paths bind; None where the policy finds out for itself."""

    def compiled(self) -> RegoProgram:
        """
        Raises:
            PolicyError: as `load_plan`.
        """  # noqa: D205, D212 - its name says what it is
        return load_plan(self.plan, self.data)


class OpaQuery:
    """One question, ready to be asked."""

    __slots__ = ("_entry_point", "_program", "reads")

    def __init__(self, program: RegoProgram, entry_point: str) -> None:
        self._program = program
        self._entry_point = entry_point
        self.reads: frozenset[InputPath] = program.input_reads(self._entry_point)
        """What of the input the answer can depend on."""

    def evaluate(
        self, document: Value, *, now_ns: int, strict: bool, limits: Limits, clock: Callable[[], float]
    ) -> Value:
        """The answer as JSON, or UNDEFINED; as `RegoProgram.evaluate`."""
        return self._program.evaluate(
            self._entry_point, document, now_ns=now_ns, strict=strict, limits=limits, clock=clock
        )
