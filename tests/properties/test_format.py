"""Formatting is stable and changes no meaning, whatever is in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.authoring.format import formatted
from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.model.policy import Rule
from extauthz.model.source import Span

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "policies").rglob("*.yaml"), *(ROOT / "tests" / "golden").rglob("*.yaml")])


def meaning(value: Any) -> object:
    """The intermediate representation as plain values, without the places in the text."""
    if isinstance(value, Span):
        return None
    if hasattr(value, "reads"):  # a compiled condition
        return value.text, value.reads
    if isinstance(value, Rule):  # its conditions are ANDed, in any order
        conditions = [meaning(condition) for condition in value.conditions]
        return value.id, value.kind, sorted(conditions, key=lambda condition: sorted(repr(condition)))
    if is_dataclass(value):
        return type(value).__name__, [meaning(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple | list):
        return [meaning(item) for item in value]
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: meaning(item) for key, item in value.items()}
    return value


def parsed(path: Path, content: bytes) -> object:
    """What a file says as a set, or what is wrong with it."""
    sources = [SourceText(str(path), content)]
    try:
        found = parse_policy_set(
            sources, read_file=lambda name: Path(name).read_bytes(), values={"ISSUER": "https://i.example"}
        )
    except PolicyError as error:
        return sorted((diagnostic.code, diagnostic.path) for diagnostic in error.diagnostics)
    policy_set = found.policy_set
    return [meaning(getattr(policy_set, field.name)) for field in fields(policy_set) if field.name != "revision"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_mean_the_same(path):
    """The representation that every back end reads is equal, and a second time nothing changes."""
    before = path.read_bytes()
    is_suite = path.stem.endswith("_test")
    if read_document(str(path), before, report := Report()) is None or report.has_errors:
        with pytest.raises(PolicyError):
            formatted(str(path), before, is_suite=is_suite)
        return
    after = formatted(str(path), before, is_suite=is_suite)
    assert formatted(str(path), after, is_suite=is_suite) == after
    assert parsed(path, after) == parsed(path, before)


class Author:
    """Writes YAML as nobody would: every style, comments anywhere, odd indentation."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.anchors = 0

    def document(self) -> str:
        head = self.pick("", "", "# head\n", "# head\n\n", "--- # start\n", "%YAML 1.2\n---\n", "\n\n")
        body = self.mapping(0, 4) if self.chance(0.7) else self.sequence(0, 4)
        return head + body.lstrip("\n") + self.pick("", "\n", "\n\n", "\n# end", "\n  # end\n")

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def comments(self, indent: int) -> str:
        lines = ""
        while self.chance(0.3):
            margin = " " * max(0, indent + self.random.choice([-2, -1, 0, 0, 0, 1, 3]))
            lines += "\n" + self.pick("", f"{margin}# a", f"{margin}#", f"{margin}#- x: [y", "   ")
        return lines

    def beside(self) -> str:
        return self.pick("", "", "", "  # beside", " #beside")

    def mapping(self, indent: int, depth: int) -> str:
        entries = ""
        for number in range(self.random.randint(1, 4)):
            key = self.pick(f"k{number}", f'"k{number}"', f"'k {number}'", ["name", "path", "routes", "allow"][number])
            entries += f"{self.comments(indent)}\n{' ' * indent}{key}{self.pick(':', ' :')}{self.value(indent, depth)}"
        return entries + self.comments(indent)

    def sequence(self, indent: int, depth: int) -> str:
        items = ""
        for _ in range(self.random.randint(1, 3)):
            compact = self.mapping(indent + 2, depth - 1).lstrip("\n ") if depth > 0 and self.chance(0.4) else "#"
            item = self.value(indent, depth) if compact.startswith("#") else f" {compact}"
            items += f"{self.comments(indent)}\n{' ' * indent}-{item}"
        return items + self.comments(indent)

    def value(self, indent: int, depth: int) -> str:
        """What follows a colon or dash."""
        if self.anchors and self.chance(0.05):
            return f" *a{self.random.randint(1, self.anchors)}{self.beside()}"
        anchor = ""
        if self.chance(0.05):
            self.anchors += 1
            anchor = f" &a{self.anchors}"
        kind = self.random.random()
        if depth <= 0 or kind < 0.4:
            scalar = self.scalar(indent)
            beside = "" if scalar.startswith(("|", ">")) else self.beside()
            return f"{anchor} {scalar}{beside}" if scalar else anchor + beside
        if kind < 0.6:
            return f"{anchor} {self.flow(3)}{self.beside()}"
        below = self.mapping if kind < 0.8 else self.sequence
        return anchor + self.beside() + below(indent + self.random.choice([1, 2, 2, 4]), depth - 1)

    def scalar(self, indent: int) -> str:
        below = "\n" + " " * (indent + self.random.randint(1, 3))
        if self.chance(0.25):
            return self.block(indent)
        return self.pick(
            *("a", "x y", "1", "true", "~", "a#b", "0x1f", "é", ""),
            '"a\\n b # no"',
            "'it''s # x: y'",
            f'"one{below}two{below}{below} \\{below}three"',
            f"one{below}two",
            f"'one  {below}\n{below}two'",
        )

    def block(self, indent: int) -> str:
        step = self.random.choice([1, 2, 4])
        digit, chomping = self.pick("", "", str(step)), self.pick("", "-", "+")
        header = self.pick("|", ">") + self.pick(digit + chomping, chomping + digit) + self.pick("", "  # why")
        lines = ["first", *(self.pick("text", "# none", "", "  deeper", "k: v", "\ttab", "      ") for _ in range(3))]
        if digit:
            lines[0] = self.pick("first", " first", "\tfirst")
        return header + "".join(f"\n{' ' * (indent + step)}{line}" if line else "\n" for line in lines)

    def flow(self, depth: int) -> str:
        if depth <= 0 or self.chance(0.4):
            return self.pick("a", "1", '"b, c"', "'d # e'", "f g", "x" * 50)
        items = [f"{self.gap()}{self.flow(depth - 1)}{self.gap()}" for _ in range(self.random.randint(0, 3))]
        if self.chance(0.5):
            return f"[{','.join(items)}{self.gap()}]"
        entries = (f"{self.gap()}k{n}{f': {item}' if self.chance(0.8) else ''}" for n, item in enumerate(items))
        return f"{{{','.join(entries)}{self.gap()}}}"

    def gap(self) -> str:
        margin = "\n" + " " * 40
        return self.pick("", "", "", " ", margin, f" # within{margin}", f"{margin}# within{margin}")


def variants(text: str) -> Iterator[bytes]:
    """The text with each kind of line break, and with a byte order mark."""
    yield text.encode()
    yield text.replace("\n", "\r\n").encode()
    yield text.encode("utf-8-sig")


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**64))
def test_any_yaml_is_formatted_once(seed):
    """What can be read is formatted, the same for every kind of line break, and a second time nothing changes."""
    text = Author(Random(seed)).document()
    outcomes = set()
    for content in variants(text):
        try:
            outcomes.add(formatted("p.yaml", content, is_suite=False))
        except PolicyError:  # it cannot be read
            outcomes.add(b"")
    (outcome,) = outcomes
    assert not outcome or formatted("p.yaml", outcome, is_suite=False) == outcome
