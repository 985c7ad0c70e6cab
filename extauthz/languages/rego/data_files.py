"""Data documents from files: `data.json` and `data.yaml`, each below the names of the folders that it stands in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from extauthz.errors import PolicyError
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.modules import parse_data
from extauthz.languages.rego.value import Value
from extauthz.model.source import Diagnostic, Span

DATA_NAMES: Final = frozenset({"data.json", "data.yaml", "data.yml"})
"""What these files are called."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data document, read."""

    path: str
    """As the user gave it: it stands in messages."""
    folders: tuple[str, ...]
    """Under which keys of the whole document it stands: the folders between the one that was named and the file."""
    content: bytes


def join_data(files: Iterable[DataFile]) -> dict[str, Value]:
    """The data document that all files make together: objects add up, all else is said once.

    Raises:
        PolicyError: a file is no object, or says what another has said.
    """
    whole: dict[str, Value] = {}
    for file in files:
        is_json = file.path.lower().endswith(".json")
        document = parse_data(file.path, file.content) if is_json else _parse_yaml(file.path, file.content)
        graft(file.path, whole, file.folders, document)
    return whole


def _parse_yaml(path: str, content: bytes) -> Value:
    """A data document in YAML, read as OPA reads it.

    Raises:
        PolicyError: it is not YAML, or no mapping.
    """
    from extauthz.languages.rego.builtins.yaml_text import load_yaml  # noqa: PLC0415 - many built-ins; most have no data

    try:
        value = load_yaml(content.decode())
    except (UnicodeDecodeError, BuiltinError):
        raise PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.DATA, "not a YAML text")]) from None
    if type(value) is not dict:
        raise PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.DATA, "the data document must be a mapping")])
    return value


def graft(path: str, data: dict[str, Any], folders: Iterable[str], document: dict[str, Value]) -> None:
    """Put a data document below its folders; `path` is for messages.

    Raises:
        PolicyError: something stands there already.
    """
    for folder in folders:
        data = data.setdefault(folder, {})
        if type(data) is not dict:
            raise _given_twice(path, folder)
    for key, value in document.items():
        if key in data:
            if type(data[key]) is not dict or type(value) is not dict:
                raise _given_twice(path, key)
            graft(path, data[key], (), value)
        else:
            data[key] = value


def _given_twice(path: str, key: str) -> PolicyError:
    return PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.DATA, f"data at {key!r} is given twice")])
