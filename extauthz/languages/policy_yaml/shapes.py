"""The vocabulary in which the language is described: what may stand at a place.

A shape does two things from one description: it reads a node into a typed value, reporting what does not fit, and it
gives the JSON Schema of what it reads. A shape that cannot read a node reports why and gives None; whatever holds it
goes on without it, so that one mistake never hides another. Null and the empty list are refused everywhere: each could
be read as nothing or as everything.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode, Fields, Items, Scalar, kind_of, plain_value
from extauthz.languages.policy_yaml.report import Report, listed, quoted
from extauthz.model.access import JsonValue

T_co = TypeVar("T_co", covariant=True)
JsonSchema: TypeAlias = dict[str, object]
Definitions: TypeAlias = dict[str, JsonSchema]

_VALUE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(slots=True)
class Reading:
    """What reading needs besides the node: where findings go, and what `${NAME}` stands for."""

    report: Report
    values: Mapping[str, str]
    used_values: set[str] = field(default_factory=set)

    def substitute(self, scalar: Scalar) -> Scalar | None:
        """The scalar with each `${NAME}` replaced; None after reporting one that has no value."""
        if "${" not in scalar.text or not isinstance(scalar.value, str):
            return scalar
        unresolved = False
        for match in _VALUE.finditer(scalar.text):
            if match[1] not in self.values:
                unresolved = True
                message = f"there is no value for {quoted(match[0])}"
                hint = self.report.suggest(match[1], self.values) or "give it in the file of --values"
                self.report.error(Code.VALUE_UNRESOLVED, scalar, message, hint)
            self.used_values.add(match[1])
        if unresolved:
            return None
        text = _VALUE.sub(lambda match: self.values[match[1]], scalar.text)
        # Not the source text any more: nothing is to be located within it.
        return Scalar(scalar.document, scalar.line, scalar.column, text, text, "$")


class Shape(ABC, Generic[T_co]):
    """What may stand at a place."""

    @abstractmethod
    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> T_co | None:
        """The value, or None after reporting; `owner` is where a missing key is reported, by default the node."""

    @abstractmethod
    def schema(self, definitions: Definitions) -> JsonSchema:
        """The JSON Schema (2020-12); schemas of records go into `definitions`."""


def refuse_kind(node: AnyNode, reading: Reading, expected: str, hint: str = "") -> None:
    """Reports a value of the wrong type."""
    if isinstance(node, Scalar) and node.value is None:
        reading.report.error(
            Code.EMPTY, node, f"nothing stands here; {expected} is needed", "write it, or remove the key"
        )
        return
    if not hint and isinstance(node, Scalar) and expected.startswith("text"):
        hint = f"put it into quotes: '{node.text}'" if node.text.isprintable() else "put it into quotes"
    reading.report.error(Code.WRONG_TYPE, node, f"{expected} is needed here, not {kind_of(node)}", hint)


@dataclass(frozen=True, slots=True)
class Text(Shape[Scalar]):
    """A text; of a form, when it has a `pattern` (its description, `form`, is used in messages)."""

    pattern: str = ""
    form: str = ""
    substitutes: bool = False
    """Whether `${NAME}` is replaced here; elsewhere it is refused."""
    is_code: bool = False
    """Whether it is source text of another language, where `${` means nothing to us."""
    example: str = ""
    """What it looks like, for hints."""

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> Scalar | None:
        del owner
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            refuse_kind(node, reading, "text", self.example and f"as in {self.example}")
            return None
        if self.substitutes:
            substituted = reading.substitute(node)
            if substituted is None:
                return None
            node = substituted
        elif not self.is_code and (misplaced := _VALUE.search(node.text)):
            message = f"{quoted(misplaced[0])} is not replaced here: values are for providers and hosts"
            reading.report.error(Code.VALUE_MISPLACED, node, message)
            return None
        if not node.text.strip():
            reading.report.error(Code.EMPTY, node, "the text is empty", "write a text, or remove the key")
            return None
        if self.pattern and not re.fullmatch(self.pattern, node.text):
            reading.report.error(Code.MALFORMED, node, f"{quoted(node.text)} is not {self.form}")
            return None
        return node

    def schema(self, definitions: Definitions) -> JsonSchema:
        del definitions
        constraint: JsonSchema = {"pattern": f"^(?:{self.pattern})$"} if self._has_fixed_form else {"minLength": 1}
        return {"type": "string", **constraint}

    @property
    def _has_fixed_form(self) -> bool:
        return bool(self.pattern) and not self.substitutes


@dataclass(frozen=True, slots=True)
class Number(Shape[Scalar]):
    """One whole number, of those that are known."""

    known: tuple[int, ...]
    code: Code

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> Scalar | None:
        del owner
        if not isinstance(node, Scalar) or type(node.value) is not int:
            refuse_kind(node, reading, f"the number {self.known[-1]}")
            return None
        if node.value not in self.known:
            known = ", ".join(map(str, self.known))
            reading.report.error(self.code, node, f"{node.value} is not known here", f"known here: {known}")
            return None
        return node

    def schema(self, definitions: Definitions) -> JsonSchema:
        del definitions
        return {"enum": list(self.known)}


@dataclass(frozen=True, slots=True)
class Flag(Shape[Scalar]):
    """`true`, and where it may be switched off, `false`."""

    may_be_false: bool = True

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> Scalar | None:
        del owner
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            refuse_kind(node, reading, "true or false" if self.may_be_false else "true")
            return None
        if not node.value and not self.may_be_false:
            reading.report.error(Code.NOT_A_CHOICE, node, "only true can be written here", "remove the key")
            return None
        return node

    def schema(self, definitions: Definitions) -> JsonSchema:
        del definitions
        return {"type": "boolean"} if self.may_be_false else {"const": True}


@dataclass(frozen=True, slots=True)
class Choice(Shape[Scalar]):
    """One of a few words."""

    words: tuple[str, ...]
    otherwise: str = ""
    """What may stand here instead of a word, for messages."""
    called: str = ""
    """What the words are, for messages, where they are too many to be listed."""

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> Scalar | None:
        del owner
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            refuse_kind(node, reading, self._expected)
            return None
        if node.text not in self.words:
            message = f"{self._expected} is needed here, not {quoted(node.text)}"
            reading.report.error(Code.NOT_A_CHOICE, node, message, reading.report.closest(node.text, self.words))
            return None
        return node

    def schema(self, definitions: Definitions) -> JsonSchema:
        del definitions
        return {"enum": list(self.words)}

    @property
    def _expected(self) -> str:
        return f"{self.called or listed(self.words)}{self.otherwise and f', or {self.otherwise},'}"


@dataclass(frozen=True, slots=True)
class AnyJson(Shape[tuple[AnyNode, JsonValue]]):
    """A mapping of any content."""

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> tuple[AnyNode, JsonValue] | None:
        del owner
        if not isinstance(node, Fields):
            refuse_kind(node, reading, "a mapping")
            return None
        return node, plain_value(node)

    def schema(self, definitions: Definitions) -> JsonSchema:
        del definitions
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class ListOf(Shape[tuple[T_co, ...]]):
    """A list with at least one item."""

    item: Shape[T_co]

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> tuple[T_co, ...] | None:
        del owner
        if not isinstance(node, Items):
            hint = f"write [{node.text}]" if isinstance(node, Scalar) and node.text.isprintable() else ""
            refuse_kind(node, reading, "a list", hint)
            return None
        if not node.items:
            reading.report.error(Code.EMPTY, node, "the list is empty", "write an item, or remove the key")
            return None
        read = [self.item.read(item, reading) for item in node.items]
        return tuple(item for item in read if item is not None)

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {"type": "array", "minItems": 1, "items": self.item.schema(definitions)}


@dataclass(frozen=True, slots=True)
class OneOrMany(Shape[tuple[T_co, ...]]):
    """One value, or a list of several."""

    item: Shape[T_co]

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> tuple[T_co, ...] | None:
        if isinstance(node, Items):
            return ListOf(self.item).read(node, reading, owner)
        one = self.item.read(node, reading, owner)
        return None if one is None else (one,)

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {"anyOf": [self.item.schema(definitions), ListOf(self.item).schema(definitions)]}


@dataclass(frozen=True, slots=True)
class Entry(Generic[T_co]):
    """A named value; None when what stands there could not be read, the name counts nonetheless."""

    key: Scalar
    value: T_co | None

    @property
    def name(self) -> str:
        return self.key.text


@dataclass(frozen=True, slots=True)
class MapOf(Shape[tuple[Entry[T_co], ...]]):
    """A mapping from names of the author's choice."""

    value: Shape[T_co]
    key: Text

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> tuple[Entry[T_co], ...] | None:
        del owner
        if not isinstance(node, Fields):
            refuse_kind(node, reading, "a mapping")
            return None
        return tuple(
            Entry(key, self.value.read(value, reading, key))
            for key, value in node.entries.values()
            if self.key.read(key, reading) is not None
        )

    def schema(self, definitions: Definitions) -> JsonSchema:
        names = self.key.schema(definitions)
        return {"type": "object", "propertyNames": names, "additionalProperties": self.value.schema(definitions)}


@dataclass(frozen=True, slots=True)
class OneOf(Shape[T_co]):
    """A scalar of one shape, or a value of another, told apart by their kinds."""

    scalar: Shape[T_co]
    other: Shape[T_co]

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> T_co | None:
        return (self.scalar if isinstance(node, Scalar) else self.other).read(node, reading, owner)

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {"anyOf": [self.scalar.schema(definitions), self.other.schema(definitions)]}


@dataclass(frozen=True, slots=True)
class ByKey(Shape[T_co]):
    """One shape when a key is present, else another."""

    key: str
    present: Shape[T_co]
    absent: Shape[T_co]

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> T_co | None:
        is_present = isinstance(node, Fields) and self.key in node.entries
        return (self.present if is_present else self.absent).read(node, reading, owner)

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {
            "if": {"type": "object", "required": [self.key]},
            "then": self.present.schema(definitions),
            "else": self.absent.schema(definitions),
        }


def texts(scalars: Sequence[Scalar] | None) -> tuple[str, ...]:
    """The texts of what was read; none when nothing was."""
    return tuple(scalar.text for scalar in scalars or ())
