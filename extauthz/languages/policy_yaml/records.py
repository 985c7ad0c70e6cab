"""Records: mappings with known keys, described as classes; the shape in which the language's own mappings stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, cast, overload

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode, Fields, Scalar
from extauthz.languages.policy_yaml.report import quoted
from extauthz.languages.policy_yaml.shapes import Definitions, JsonSchema, Reading, Shape, refuse_kind

T = TypeVar("T")
R = TypeVar("R", bound="Record")
R_co = TypeVar("R_co", bound="Record", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Key(Generic[T]):
    """A key of a record, as a descriptor: on a record it gives the value read, or None."""

    shape: Shape[T]
    doc: str
    required: bool = False

    @overload
    def __get__(self, record: None, owner: type[Record]) -> Key[T]: ...
    @overload
    def __get__(self, record: Record, owner: type[Record]) -> T | None: ...
    def __get__(self, record: Record | None, owner: type[Record]) -> Key[T] | T | None:
        """The key itself on the class, its value on a record."""
        if record is None:
            return self
        return cast("T | None", record.values.get(self))  # put there by this key's own shape


class Record:
    """A mapping with known keys. Subclasses list them as `Key`s; their docstring is the schema's description."""

    keys: ClassVar[Mapping[str, Key[object]]] = {}

    def __init_subclass__(cls) -> None:
        cls.keys = {name.rstrip("_"): key for name, key in vars(cls).items() if isinstance(key, Key)}

    def __init__(self, node: Fields, owner: AnyNode, values: Mapping[object, object]) -> None:
        self.node = node
        self.owner = owner
        """Where something about the whole is reported."""
        self.values = values

    def wrote(self, name: str) -> bool:
        """Whether the key was written, readable or not."""
        return name in self.node.entries

    @property
    def has_unknown_keys(self) -> bool:
        """Whether a key was reported as unknown: what seems to be missing may be that one, misspelt."""
        return not self.node.entries.keys() <= self.keys.keys()

    def place(self, name: str) -> AnyNode:
        """Where the key was written; the record itself when it was not."""
        entry = self.node.entries.get(name)
        return entry[0] if entry else self.owner


@dataclass(frozen=True, slots=True)
class RecordOf(Shape[R_co]):
    """A record of a class."""

    record: Callable[[], type[R_co]]
    """Called late, so that records may hold each other."""
    ignores_extensions: bool = False
    """Whether keys that begin with `x-` are left to the author."""

    def read(self, node: AnyNode, reading: Reading, owner: AnyNode | None = None) -> R_co | None:
        record = self.record()
        if not isinstance(node, Fields):
            refuse_kind(node, reading, "a mapping")
            return None
        owner = owner or node
        values: dict[object, object] = {}
        for name, (key_node, value_node) in node.entries.items():
            key = record.keys.get(name)
            if key is not None:
                value = key.shape.read(value_node, reading, key_node)
                if value is not None:
                    values[key] = value
            elif not (self.ignores_extensions and name.startswith("x-")):
                self._refuse_key(key_node, reading, record)
        for name, key in record.keys.items():
            if key.required and name not in node.entries:
                reading.report.error(Code.MISSING_KEY, owner, f"the key {quoted(name)} is missing", key.doc)
        return record(node, owner, values)

    @staticmethod
    def _refuse_key(key: Scalar, reading: Reading, record: type[Record]) -> None:
        hint = reading.report.suggest(key.text, record.keys)
        if key.text == "<<":
            hint = "YAML 1.2 has no merge keys: repeat what is to be merged"
        reading.report.error(Code.UNKNOWN_KEY, key, f"{quoted(key.text)} is not a key here", hint)

    def schema(self, definitions: Definitions) -> JsonSchema:
        record = self.record()
        name = record.__name__
        if name not in definitions:
            definitions[name] = {}  # announced before it is built: records may hold themselves
            definitions[name] = self._definition(record, definitions)
        return {"$ref": f"#/$defs/{name}"}

    def _definition(self, record: type[Record], definitions: Definitions) -> JsonSchema:
        built: JsonSchema = {
            "type": "object",
            "description": " ".join((record.__doc__ or "").split()),
            "properties": {
                name: {"description": key.doc, **key.shape.schema(definitions)} for name, key in record.keys.items()
            },
            "additionalProperties": False,
        }
        required = [name for name, key in record.keys.items() if key.required]
        if required:
            built["required"] = required
        if self.ignores_extensions:
            built["patternProperties"] = {"^x-": True}
        return built
