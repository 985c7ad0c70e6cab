"""CEL conditions: text to a compiled expression, and the one door to the CEL library (cel-cpp, as in Envoy).

A condition is checked by the library, then rewritten: every read of a fact becomes an identifier of its own
(`extauthz.languages.cel_ast`), which `extauthz.languages.cel_facts` fills in at a decision. So nothing crosses into C++
but what the condition reads, made safe first, and a fact that is missing or unsafe is one erroneous read.

INVARIANT: the library reports errors as values, and their text is true to Python. Only a BOOL that `is True` satisfies.
`value()` is called on nothing but BOOLs: on a null it corrupts the interpreter's reference counts before Python 3.12.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr
from google.api.expr.v1alpha1.syntax_pb2 import ParsedExpr
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, EncodeError

from extauthz.languages.cel_ast import (
    ExpressionTooLargeError,
    Slots,
    chain,
    inline_variables,
    place_slots,
)
from extauthz.languages.cel_facts import NAMES, UNREADABLE, CelPath, Load, load_presence, load_value
from extauthz.languages.cel_finding import CelError, CelFinding, findings_of
from extauthz.languages.cel_guard import Guards, guards_of, is_field, quoted
from extauthz.languages.cel_lint import lint, lint_has
from extauthz.languages.cel_value import is_safe_text
from extauthz.model.access import Facts
from extauthz.model.decision import Outcome
from extauthz.model.source import Span

__all__ = ["CelCompiler", "CelCondition", "CelError", "CelFinding", "CelResult", "evaluator"]

_BOOL: Final = cel.Type.BOOL
_ERROR: Final = cel.Type.ERROR
_SYSTEM_TIME_ZONES: Final = Path("/usr/share/zoneinfo")
_BARE: Final = cel.NewEnv(extensions=[ext_strings.ExtStrings()])
"""Evaluates expressions whose reads are slots: those need no declaration."""
_TOO_DEEP: Final = CelFinding(1, 1, "nested too deeply", "name parts of it in `variables`")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CelCondition:
    """A compiled condition; satisfies `extauthz.model.policy.Condition`. Safe to share between threads."""

    text: str
    span: Span
    reads: frozenset[CelPath]
    checked: bytes
    """A serialised google.api.expr.v1alpha1.CheckedExpr, variables inlined, over the names of `cel_facts.NAMES`."""
    _guards: Guards
    _program: Any
    _loads: tuple[tuple[str, Load], ...]

    @property
    def unguarded(self) -> tuple[CelPath, ...]:
        """What makes the whole condition ERRORED when it is absent, because no `has()` or `in` asks for it first.

        Keys of claims, headers, query and context extensions, and the caller's subject and provider.
        """
        return self._guards.unguarded

    def guarded_form(self, path: CelPath) -> str:
        """The text with a guard for one of `unguarded`, as in `has(claims.x) && claims.x == true`."""
        return self._guards.guarded_form(self.text, path)

    def evaluate(self, facts: Facts) -> Outcome:
        """SATISFIED or UNSATISFIED, ERRORED when CEL fails; never raises."""
        try:
            data = {}
            for name, load in self._loads:
                value = load(facts)
                if value is not UNREADABLE:
                    data[name] = value
            result = self._program.eval(data=data)
            if result.type() != _BOOL:
                return Outcome.ERRORED
            return Outcome.SATISFIED if result.value() is True else Outcome.UNSATISFIED
        except Exception:  # noqa: BLE001 - a condition that fails is ERRORED whatever failed, and never allows
            return Outcome.ERRORED

    def __repr__(self) -> str:
        return f"CelCondition({self.text!r})"

    def __reduce__(self) -> tuple[Callable[[str, Span, bytes], CelCondition], tuple[str, Span, bytes]]:
        """To another process of ours: the library's programs do not pickle, the checked expression does."""
        return _received, (self.text, self.span, self.checked)


class CelCompiler:
    """Compiles the conditions of one policy set; variables are compiled alone, then inlined."""

    def __init__(self) -> None:
        _provide_time_zones()
        self._types: dict[str, Any] = {name: cel.Type(kind.type) for name, kind in NAMES.items()}
        self._variables: dict[str, CheckedExpr] = {}
        self._environment: Any = None

    def define_variable(self, name: str, text: str) -> None:
        """Lets later texts read `variables.<name>`; of any type.

        Raises:
            CelError: the name cannot be written in CEL or is taken, or the text does not compile.
        """
        full_name = f"variables.{name}"
        if not is_field(name):
            raise CelError([CelFinding(1, 1, f"{quoted(name)} is no name for a variable", "letters, digits and _")])
        if full_name in self._variables:
            raise CelError([CelFinding(1, 1, f"the variable '{name}' is defined twice")])
        type_, checked = self._check(text)
        _program(checked)  # refuses one that is nested too deeply before others build on it
        self._variables[full_name] = checked
        self._types[full_name] = type_
        self._environment = None

    def compile(self, text: str, span: Span) -> CelCondition:
        """The condition that the text is.

        Args:
            text: a CEL expression whose type is BOOL.
            span: where the text begins, kept for messages.

        Raises:
            CelError: everything that is wrong with it.
        """
        type_, checked = self._check(text)
        if type_ != _BOOL:
            raise CelError([_not_bool(text, type_, is_path=chain(checked.expr) is not None)])
        return _condition(text, span, checked)

    def _check(self, text: str) -> tuple[Any, CheckedExpr]:
        """The text's type, and the checked expression with its variables inlined."""
        if not is_safe_text(text):
            raise CelError([CelFinding(1, 1, "text with NUL or a lone surrogate")])
        if self._environment is None:
            self._environment = cel.NewEnv(variables=self._types, extensions=[ext_strings.ExtStrings()])
        findings = self._lint_has(text)
        try:
            expression = self._environment.compile(text)
        except RuntimeError as error:
            raise CelError([*findings, *findings_of(str(error), text, self._types)]) from error
        checked = _unpack(expression, CheckedExpr)
        findings += lint(checked, self._fails)
        if findings:
            raise CelError(findings)
        try:
            inline_variables(checked, self._variables)
        except ExpressionTooLargeError as error:
            raise CelError([CelFinding(1, 1, "too large once its variables are inlined")]) from error
        return expression.return_type(), checked

    def _lint_has(self, text: str) -> list[CelFinding]:
        if "has" not in text:
            return []
        try:
            parsed = self._environment.compile(text, disable_check=True)
        except RuntimeError:
            return []  # it does not even parse, as the compiler is about to say
        return lint_has(_unpack(parsed, ParsedExpr), self._types)

    def _fails(self, constant: str) -> bool:
        """Whether a constant expression is an error."""
        return bool(self._environment.compile(constant).eval(data={}).type() == _ERROR)


def _condition(text: str, span: Span, checked: CheckedExpr) -> CelCondition:
    """The condition that a checked expression is; its reads become slots."""
    guards = guards_of(checked.expr)
    serialized = checked.SerializeToString(deterministic=True)
    slots = Slots()
    place_slots(checked, slots)
    program = _program(checked)
    _warm_up(program)
    return CelCondition(
        text=text,
        span=span,
        reads=frozenset(read.path for read in slots.names),
        checked=serialized,
        _guards=guards,
        _program=program,
        _loads=tuple(
            (name, load_presence(read.path) if read.presence else load_value(read.path))
            for read, name in slots.names.items()
        ),
    )


def _received(text: str, span: Span, checked: bytes) -> CelCondition:
    """A condition that another process of ours has compiled."""
    _provide_time_zones()
    return _condition(text, span, CheckedExpr.FromString(checked))


def _not_bool(text: str, type_: Any, *, is_path: bool) -> CelFinding:
    if type_ != cel.Type.DYN:
        return CelFinding(1, 1, f"a condition is true or false, this is of type {type_.name().lower()}")
    comparison = f"{text} == true" if is_path else f"({text}) == true"
    return CelFinding(1, 1, "a condition is true or false, this may be anything", f"write `{comparison}`")


def _unpack(expression: Any, kind: type[Any]) -> Any:
    """The library's expression as a protobuf message of `google.api.expr.v1alpha1`, wire-compatible with its own."""
    try:
        return kind.FromString(AnyMessage.FromString(expression.serialize()).value)
    except DecodeError as error:  # protobuf's limit is 100 messages within each other
        raise CelError([_TOO_DEEP]) from error


def _program(checked: CheckedExpr) -> Any:
    """The expression as the library evaluates it."""
    try:
        message = AnyMessage(
            type_url="type.googleapis.com/cel.expr.CheckedExpr", value=checked.SerializeToString(deterministic=True)
        )
        return _BARE.deserialize(message.SerializeToString())
    except (EncodeError, RuntimeError) as error:
        raise CelError([_TOO_DEEP]) from error


@dataclass(frozen=True, slots=True)
class CelResult:
    """What came of an expression of any type, for people to read."""

    text: str
    """As CEL prints the value; for an error, the library's message."""
    outcome: Outcome | None
    """Of a BOOL; ERRORED for any error; None for another type."""


def evaluator(checked: CheckedExpr) -> Callable[[Mapping[str, object]], CelResult]:
    """The expression, evaluated over the values of its slots; never raises. To explain with, not to decide with.

    Raises:
        CelError: the expression is nested too deeply.
    """
    program = _program(checked)

    def evaluate(data: Mapping[str, object]) -> CelResult:
        try:
            result = program.eval(data=dict(data))
            kind = result.type()
            if kind == _BOOL:
                holds = result.value() is True
                return CelResult("true" if holds else "false", Outcome.SATISFIED if holds else Outcome.UNSATISFIED)
            return CelResult(_in_order(repr(result)), Outcome.ERRORED if kind == _ERROR else None)
        except Exception as error:  # noqa: BLE001 - what fails is ERRORED whatever failed, as in a condition
            return CelResult(f"{type(error).__name__}: {error}", Outcome.ERRORED)

    return evaluate


def _in_order(printed: str) -> str:
    """The library prints a map in any order: here by key, where what it prints is JSON."""
    if "{" not in printed:
        return printed
    try:
        return json.dumps(json.loads(printed), sort_keys=True, ensure_ascii=False)
    except ValueError:
        return printed


def _warm_up(program: Any) -> None:
    """Plans the expression now rather than at the first request. All reads fail, so only a constant can raise."""
    try:
        program.eval(data={})
    except RuntimeError as error:
        raise CelError([CelFinding(1, 1, f"cannot be evaluated: {error}")]) from error


def _provide_time_zones() -> None:
    """Where the system has no time zones, points the library to those of the `tzdata` package."""
    if "TZDIR" not in os.environ and not _SYSTEM_TIME_ZONES.is_dir():
        os.environ["TZDIR"] = str(files("tzdata") / "zoneinfo")
