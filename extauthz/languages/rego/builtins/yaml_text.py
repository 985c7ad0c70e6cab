"""YAML texts, read as Go's library reads them: the core types, everything else a string."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from extauthz.languages.rego.builtins.registry import Registry, text
from extauthz.languages.rego.builtins.strings import spend_on_text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import parse_number
from extauthz.languages.rego.value import Value, json_text, parse_json, to_json

YAML = Registry()

_MAX_ALIASES = 100
"""Aliases of one text."""

_MAX_VALUES = 100_000
"""Values of one text once its aliases are written out: each of them may stand for others."""


class _Loader(yaml.SafeLoader):
    """Scalars are null, booleans and numbers only where they look like JSON's; dates stay texts."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as the base class
    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Count aliases before they are followed."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > _MAX_ALIASES:
                raise yaml.YAMLError("too many aliases")
        return super().compose_node(parent, index)


_NUMBER = re.compile(
    r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9]+)"
)
for _tag, _pattern, _first in (
    ("null", re.compile(r"~|null|Null|NULL|"), [*"~nN", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("float", re.compile(_NUMBER.pattern + r"\Z"), "-+0123456789."),
    ("merge", re.compile(r"<<\Z"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern.pattern})\\Z"), list(_first))


def _construct_number(loader: _Loader, node: yaml.ScalarNode) -> Value:
    written = str(loader.construct_scalar(node)).replace("_", "")
    sign, digits = (-1 if written.startswith("-") else 1), written.lstrip("+-")
    try:
        if re.fullmatch(r"0[bBoOxX].+", digits):
            return sign * int(digits, 0)
        if re.fullmatch(r"0[0-7]+", digits):
            return sign * int(digits, 8)
        whole, point, fraction = digits.partition(".")
        plain = f"{whole.lstrip('0') or '0'}{point}{fraction if fraction[:1].isdigit() else '0' + fraction}"
        return sign * parse_number(plain if point else digits.lstrip("0") or "0")
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from error


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Iterator[dict[str, Value]]:
    """Keys become texts, as in JSON, before Python could take `1` and `true` for one."""
    members: dict[str, Value] = {}
    yield members
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        name = key if type(key) is str else json_text(key)
        if name in members:
            raise yaml.YAMLError("a key is given twice")
        members[name] = loader.construct_object(value_node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_number)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


class _Dumper(yaml.SafeDumper):
    """Lists within maps are indented, as Go's library does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """The same, never without an indent."""
        super().increase_indent(flow, indentless=False)


def load_yaml(source: str) -> Value:
    """A YAML text as a value.

    Raises:
        BuiltinError: it is none, or one that JSON cannot say.
    """
    try:
        value = yaml.load(source, _Loader)  # noqa: S506 - derived from the safe loader
        return parse_json(json_text(_plain(value, [_MAX_VALUES])))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, KeyError):
        raise BuiltinError("not a YAML text") from None


def _plain(value: Any, left: list[int]) -> Value:
    """The value with aliases written out; `left` counts down what may come."""
    left[0] -= 1
    if left[0] < 0:
        raise yaml.YAMLError("aliases stand for too much")
    if type(value) is dict:
        return {key: _plain(member, left) for key, member in value.items()}
    if type(value) is list:
        return [_plain(member, left) for member in value]
    return value


@YAML.add("yaml.unmarshal", 1, stateful=True)
def yaml_unmarshal(evaluation: Evaluation, value: Value) -> Value:
    source = text(value, 1)
    evaluation.spend(len(source))
    return load_yaml(source)


@YAML.add("yaml.is_valid", 1, stateful=True)
def yaml_is_valid(evaluation: Evaluation, value: Value) -> bool:
    if type(value) is not str:
        return False
    evaluation.spend(len(value))
    try:
        load_yaml(value)
    except BuiltinError:
        return False
    return True


@YAML.add("yaml.marshal", 1, stateful=True)
def yaml_marshal(evaluation: Evaluation, value: Value) -> str:
    plain = to_json(value)
    evaluation.spend(len(json_text(plain)))
    result = yaml.dump(plain, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1_000_000)
    spend_on_text(evaluation, len(result))
    return result.removesuffix("...\n")
