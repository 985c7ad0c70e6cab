"""Bytes -> values with places: YAML, read in the one way that authors expect.

The parser is libyaml's (YAML 1.1), taken event by event; what a scalar means is decided here, by the core schema of
YAML 1.2 (section 10.3): `NO`, `on` and `1:30` are text. Refused is all that two readers may read in two ways, or that
hides what it says: duplicate keys, tags, several documents, control and direction-changing characters, nesting and
aliases without bound.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode, Document, Fields, Items, Scalar, ScalarValue, kind_of
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.source import Span

MAX_DEPTH = 64
"""Nesting of values, aliases expanded: a policy needs about ten, an inline key set a few more."""
MAX_ALIASES = 100
MAX_EXPANDED = 100_000
"""How many values the aliases of one file may stand for."""
MAX_INTEGER_DIGITS = 18

# Controls (C0 but tab and breaks, DEL, C1), breaks of YAML 1.1 that YAML 1.2 does not know (section 5.4), marks that
# change the direction of what follows, and code points that are no characters.
_HIDING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# A plain scalar that begins otherwise is text.
_NUMERIC_START = frozenset("0123456789+-.")


class _Refused(Exception):  # noqa: N818 - not an error but the end of one document's reading
    """The document cannot be read on; what is wrong has been reported."""


def read_document(path: str, content: bytes, report: Report) -> AnyNode | None:
    """The value of the one YAML document in a file; None after reporting why there is none."""
    text = _decode(path, content, report)
    if text is None:
        return None
    try:
        return _Reader(Document(path, text), report).read()
    except _Refused:
        return None


def _decode(path: str, content: bytes, report: Report) -> str | None:
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        known = content[: error.start].decode("utf-8")
        place = _place(path, known, len(known))
        report.error(Code.ENCODING, place, f"the file is not UTF-8: {error.reason}", "save it as UTF-8")
        return None
    report.know(Document(path, text))
    hidden = _HIDING.search(text)
    if hidden is None:
        return text
    message = f"the character U+{ord(hidden[0]):04X} hides or changes what the file says"
    report.error(Code.ENCODING, _place(path, text, hidden.start()), message, "remove it, or write it as an escape")
    return None


def _place(path: str, text: str, offset: int) -> Span:
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return Span(path, before.count("\n") + 1, len(before) - before.rfind("\n"))


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read."""

    node: Items | Fields
    anchor: str | None
    began: int
    """How many values the document had when it began."""
    key: Scalar | None = None
    """Of a mapping: the key that waits for its value."""
    height: int = 1


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: AnyNode
    size: int
    height: int


@dataclass(slots=True)
class _Reader:
    """Builds the value of one document without recursion."""

    document: Document
    report: Report
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    root: AnyNode | None = None
    size: int = 0
    aliases: int = 0
    expanded: int = 0

    def read(self) -> AnyNode | None:
        for event in self._events():
            match event:
                case yaml.ScalarEvent():
                    self._add(self._scalar(event), event.anchor)
                case yaml.MappingStartEvent():
                    self._start(event, Fields(self.document, *_position(event), {}))
                case yaml.SequenceStartEvent():
                    self._start(event, Items(self.document, *_position(event), []))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._end()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentStartEvent():
                    self._document_start(event)
                case _:
                    pass  # the ends of stream and document say nothing
        if self.root is None or (isinstance(self.root, Scalar) and self.root.value is None):
            place = Span(self.document.path, 1, 1)
            self.report.error(Code.EMPTY_FILE, place, "the file holds no value", "remove it, or write a policy into it")
            return None
        return self.root

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.document.text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            place = Span(self.document.path, line, column)
            if "maximum nesting depth" in (error.problem or ""):  # the parser's own limit, met reading ahead
                self.report.error(Code.NESTING, place, f"values are nested more than {MAX_DEPTH} deep")
            else:
                self.report.error(Code.SYNTAX, place, _syntax_message(error), _syntax_hint(error))
            raise _Refused from None
        except yaml.YAMLError as error:
            self.report.error(Code.SYNTAX, Span(self.document.path, 1, 1), f"not YAML: {quoted(str(error))}")
            raise _Refused from None

    def _refuse(self, code: Code, event: yaml.Event, message: str, hint: str = "") -> NoReturn:
        self.report.error(code, Span(self.document.path, *_position(event)), message, hint)
        raise _Refused

    def _document_start(self, event: yaml.DocumentStartEvent) -> None:
        if self.root is not None:
            self._refuse(Code.SEVERAL_DOCUMENTS, event, "a second document begins here", "one file, one document")
        if event.version is not None and tuple(event.version) != (1, 2):
            self._refuse(Code.SYNTAX, event, "policies are read as YAML 1.2", "remove the %YAML directive")
        if event.tags:
            self._refuse(Code.TAG, event, "tags are not allowed", "remove the %TAG directive")

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            hint = "a policy's values have the types that YAML gives them; quote what is to be text"
            place = Span(self.document.path, *_position(event))
            self.report.error(Code.TAG, place, f"the tag {quoted(event.tag)} is not allowed", hint)

    def _start(self, event: yaml.CollectionStartEvent, node: Items | Fields) -> None:
        self._check_tag(event)
        if len(self.open) >= MAX_DEPTH:
            self._refuse(Code.NESTING, event, f"values are nested more than {MAX_DEPTH} deep")
        self.open.append(_Open(node, event.anchor, self.size))

    def _end(self) -> None:
        closed = self.open.pop()
        self._add(closed.node, closed.anchor, height=closed.height, began=closed.began)

    def _add(self, node: AnyNode, anchor: str | None, *, height: int = 0, began: int | None = None) -> None:
        began = self.size if began is None else began
        self.size += 1
        if anchor is not None:
            self.anchors[anchor] = _Anchored(node, self.size - began, height)
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.node, Items):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(node)
        else:
            self._put(parent.node, parent.key, node)
            parent.key = None

    def _key(self, node: AnyNode) -> Scalar:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node
        text = node.text if isinstance(node, Scalar) else kind_of(node)
        hint = f"put it into quotes: '{text}'" if isinstance(node, Scalar) and text.isprintable() else ""
        self.report.error(Code.KEY_NOT_TEXT, node, f"a key is text, not {kind_of(node)}", hint)
        return Scalar(node.document, node.line, node.column, text, text)

    def _put(self, fields: Fields, key: Scalar, value: AnyNode) -> None:
        first = fields.entries.get(key.text)
        if first is None:
            fields.entries[key.text] = (key, value)
            return
        message = f"the key {quoted(key.text)} stands here twice, first in line {first[0].line}"
        self.report.error(Code.DUPLICATE_KEY, key, message)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        anchored = self.anchors.get(name)
        if anchored is None:
            message = f"there is no anchor {quoted(name)} before this alias"
            self._refuse(Code.ALIAS, event, message, self.report.suggest(name, self.anchors))
        self.aliases += 1
        self.expanded += anchored.size
        if self.aliases > MAX_ALIASES:
            self._refuse(Code.ALIAS, event, f"the file has more than {MAX_ALIASES} aliases")
        if self.expanded > MAX_EXPANDED:
            self._refuse(Code.ALIAS, event, f"the file's aliases stand for more than {MAX_EXPANDED} values")
        if len(self.open) + anchored.height > MAX_DEPTH:
            self._refuse(Code.NESTING, event, f"values are nested more than {MAX_DEPTH} deep")
        began = self.size
        self.size += anchored.size - 1
        self._add(_moved(anchored.node, *_position(event)), None, height=anchored.height, began=began)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        self._check_tag(event)
        text: str = event.value
        style = event.style or ""
        node = Scalar(self.document, *_position(event), text, text, style)
        if "\0" in text:
            self.report.error(Code.ENCODING, node, "a text holds the NUL character")
        if not style and (text[:1] in _NUMERIC_START or text in _NULL or text in _BOOLEAN):
            node.value = self._plain(node, text)
        return node

    def _plain(self, node: Scalar, text: str) -> ScalarValue:
        """A plain scalar by the core schema (YAML 1.2, section 10.3.2)."""
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if _INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
            if len(text.lstrip("+-")) > MAX_INTEGER_DIGITS:
                message = f"the number has more than {MAX_INTEGER_DIGITS} digits"
                self.report.error(Code.NUMBER, node, message, "put it into quotes")
                return text
            return int(text, 10 if _INTEGER.fullmatch(text) else 0)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _NOT_FINITE.fullmatch(text):
            self.report.error(Code.NUMBER, node, f"{quoted(text)} is not a finite number", "put it into quotes")
        return text


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _moved(node: AnyNode, line: int, column: int) -> AnyNode:
    """The same value at another place; what it holds stays where it was written."""
    match node:
        case Scalar():
            # Not the anchored text but the alias stands there, so nothing is to be located within it.
            return Scalar(node.document, line, column, node.value, node.text, "*")
        case Items():
            return Items(node.document, line, column, node.items)
        case Fields():
            return Fields(node.document, line, column, node.entries)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    context = f" {error.context}" if error.context else ""
    began, mark = error.context_mark, error.problem_mark
    if began is not None and mark is not None and began.line != mark.line:
        context += f" that begins at {began.line + 1}:{began.column + 1}"
    return f"not YAML{context}: {error.problem}"


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "cannot start any token" in problem:
        return "a value that begins with this character needs quotes (a tab cannot indent)"
    if "mapping values are not allowed" in problem:
        return "a text with ': ' in it needs quotes"
    began, mark = error.context_mark, error.problem_mark
    if "expected ',' or '}'" in problem and began is not None and mark is not None and began.line == mark.line:
        return 'within { }, a text with braces needs quotes, as in path: "/orders/{id}"'
    return ""
