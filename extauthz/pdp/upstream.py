"""What an allowed request carries on: every owned header is set or removed, in every spelling.

A header that a set can ever put upstream is *owned*. A backend may read `x_user` as `x-user` (as CGI and WSGI do), so
the spellings with `_` for `-` are removed as well. A value that a backend could read as more than it is (a comma
within a list's element, control characters, bytes beyond visible ASCII, outer spaces) makes the whole decision a deny.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from extauthz.errors import ExtAuthzError
from extauthz.model.access import Facts, JsonValue
from extauthz.model.decision import HeaderChanges
from extauthz.model.policy import TemplatePart, UpstreamHeader, header_spellings

_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


class UpstreamHeaderInvalidError(ExtAuthzError):
    """A fact that no header value can carry faithfully."""


class UpstreamRenderer:
    """The header changes of one route."""

    __slots__ = ("_set", "follows_from_principal", "removals")

    def __init__(self, headers: Iterable[UpstreamHeader], owned_headers: Iterable[str]) -> None:
        headers = tuple(headers)
        self._set = tuple((h.name, h.template) for h in headers if h.template is not None)
        kept = {name for name, _ in self._set}
        removed = {h.name for h in headers if h.template is None}
        removed.update(spelling for name in owned_headers for spelling in header_spellings(name))
        self.removals = HeaderChanges((), tuple(sorted(removed - kept)))
        self.follows_from_principal = all(
            _follows_from_principal(part) for _, template in self._set for part in template
        )
        """Whether one caller gets the same changes on every request."""

    def render(self, facts: Facts) -> HeaderChanges:
        """The changes for one request; an absent or empty fact removes its header.

        Raises:
            UpstreamHeaderInvalidError: a value cannot be carried faithfully.
        """
        if not self._set:
            return self.removals
        rendered: list[tuple[str, str]] = []
        removed = self.removals.remove
        for name, template in self._set:
            value = _render(template, facts)
            if value:
                rendered.append((name, value))
            else:
                removed = (*removed, name)
        return HeaderChanges(tuple(rendered), removed)


def _follows_from_principal(part: TemplatePart) -> bool:
    """Roles do not: a binding's condition may read the request."""
    return not part.path or part.path[0] == "claims" or (part.path[0] == "principal" and part.path[1] != "roles")


def _render(template: tuple[TemplatePart, ...], facts: Facts) -> str:
    value = ""
    for part in template:
        text = _fact(part.path, facts) if part.path else part.text
        if not text:
            return ""
        value += text
    if not _VALUE.fullmatch(value):
        raise UpstreamHeaderInvalidError("a header value must be visible ASCII without outer spaces")
    return value


def _fact(path: tuple[str, ...], facts: Facts) -> str:
    root, *keys = path
    if root == "path":
        return facts.path_variables.get(keys[0], "")
    if root == "claims":
        return _text(_walk(facts.principal.claims, keys))
    match keys[0]:
        case "subject":
            return facts.principal.subject or ""
        case "provider":
            return facts.principal.provider or ""
        case "groups":
            return _joined(facts.principal.groups)
        case "scopes":
            return _joined(facts.principal.scopes)
        case "roles":
            if facts.roles.errored:
                raise UpstreamHeaderInvalidError("a role of the caller could not be determined")
            return _joined(sorted(facts.roles.held))
        case unknown:
            raise UpstreamHeaderInvalidError(f"there is no principal.{unknown}")


def _walk(value: JsonValue, keys: Iterable[str]) -> JsonValue:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _text(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, Mapping):
        raise UpstreamHeaderInvalidError("an object is no header value")
    return _joined([_element(item) for item in value])


def _element(item: JsonValue) -> str:
    if not isinstance(item, str | bool | int | float):
        raise UpstreamHeaderInvalidError("a list in a header value holds only strings, numbers and booleans")
    return _text(item)


def _joined(elements: Iterable[str]) -> str:
    elements = tuple(elements)
    if any("," in element or not _VALUE.fullmatch(element) for element in elements):
        raise UpstreamHeaderInvalidError("an element of a list must be visible ASCII without a comma")
    return ",".join(elements)
