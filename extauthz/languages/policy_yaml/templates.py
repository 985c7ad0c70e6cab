"""Values of upstream headers: text with `{dotted.path}` parts, and which headers a policy may touch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from extauthz.languages.header_names import MAX_NAME, is_header_name, is_reserved
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import UpstreamHeadersText
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.policy import TemplatePart, UpstreamHeader

PRINCIPAL_PARTS = ("subject", "provider", "roles", "groups", "scopes")

_MAX_DASHES = 8  # every way to write `_` for some of them is removed from requests: 256 at most
_PART = re.compile(r"\{([^{}]*)\}")
_TEXT = re.compile(r"[ -~]*")


class HeaderReader:
    """Reads every `upstream_headers` of a set."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.set_at: dict[str, Scalar] = {}
        """The headers that are set anywhere, with the first place where."""
        self.templates: list[tuple[Scalar, tuple[TemplatePart, ...]]] = []
        """Every template with its place."""

    def read(self, written: UpstreamHeadersText | None) -> dict[str, UpstreamHeader]:
        """The headers that one `upstream_headers` sets or removes, by name."""
        headers: dict[str, UpstreamHeader] = {}
        if written is None:
            return headers
        for entry in written.set or ():
            name = self._name(entry.key, headers)
            template = read_template(entry.value, self._report) if entry.value is not None else None
            if name is not None and template is not None and entry.value is not None:
                headers[name] = UpstreamHeader(name, template)
                self.set_at.setdefault(name, entry.key)
                self.templates.append((entry.value, template))
        for scalar in written.remove or ():
            name = self._name(scalar, headers)
            if name is not None:
                headers[name] = UpstreamHeader(name, None)
        return headers

    def read_listed(self, written: Iterable[Scalar], known: Mapping[str, UpstreamHeader]) -> tuple[str, ...]:
        """The headers that a decision may set, as it lists them, beside those that are `known` there already."""
        listed: dict[str, UpstreamHeader] = {}
        for scalar in written:
            name = self._name(scalar, {**known, **listed})
            if name is not None:
                listed[name] = UpstreamHeader(name, None)
                self.set_at.setdefault(name, scalar)
        return tuple(listed)

    def _name(self, scalar: Scalar, known: Mapping[str, UpstreamHeader]) -> str | None:
        name = scalar.text.lower()
        problem = _name_problem(name)
        if problem is not None:
            self._report.error(Code.HEADER_NAME, scalar, f"{quoted(scalar.text)} {problem[0]}", problem[1])
            return None
        if name in known:
            self._report.error(Code.DUPLICATE_NAME, scalar, f"the header {quoted(name)} is set or removed twice here")
            return None
        return name


def _name_problem(name: str) -> tuple[str, str] | None:
    if is_reserved(name):
        return "is not for a policy to set or remove", "it belongs to the connection or to the proxy"
    if not is_header_name(name):
        return "is not a header name", f"letters, digits and dashes, at most {MAX_NAME}"
    if "_" in name:
        return "has an underscore, which many servers cannot tell from a dash", f"write {name.replace('_', '-')}"
    if name.count("-") > _MAX_DASHES:
        return f"has more than {_MAX_DASHES} dashes", ""
    return None


def read_template(scalar: Scalar, report: Report) -> tuple[TemplatePart, ...] | None:
    """The parts of a header's value; None after reporting."""
    text = scalar.text
    problem = None
    if not _TEXT.fullmatch(text):
        problem = "a header's value is visible ASCII", ""
    elif text != text.strip(" "):
        problem = "a header's value has no spaces at its ends", ""
    elif re.search(r"[{}]", _PART.sub("", text)):
        problem = "a brace has no counterpart", "a part is written {principal.subject}"
    if problem is not None:
        report.error(Code.HEADER_TEMPLATE, scalar, *problem)
        return None
    parts = [_part(piece, scalar, report) if is_fact else TemplatePart(text=piece) for piece, is_fact in _pieces(text)]
    known = tuple(part for part in parts if part is not None)
    return known if len(known) == len(parts) else None


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Literal texts and, marked, what stands in braces."""
    for index, piece in enumerate(_PART.split(text)):
        if piece or index % 2:
            yield piece, bool(index % 2)


def _part(dotted: str, scalar: Scalar, report: Report) -> TemplatePart | None:
    root, *keys = dotted.split(".")
    hint = ""
    if root == "principal" and len(keys) == 1 and keys[0] in PRINCIPAL_PARTS:
        return TemplatePart(path=(root, *keys))
    if root == "path" and len(keys) == 1 and keys[0]:
        return TemplatePart(path=(root, *keys))
    if root == "claims" and keys and all(keys):
        return TemplatePart(path=(root, *keys))
    if root == "principal" and len(keys) == 1:
        hint = report.suggest(keys[0], PRINCIPAL_PARTS)
    else:
        hint = report.suggest(root, ("principal", "claims", "path")) if root not in {"claims", "path"} else ""
        hint = hint or "write {principal.subject}, {claims.tenant} or {path.order_id}"
    report.error(Code.HEADER_TEMPLATE, scalar, f"{quoted('{' + dotted + '}')} names nothing", hint)
    return None


def path_names(template: tuple[TemplatePart, ...]) -> Iterator[str]:
    """The path variables that a template reads."""
    return (part.path[1] for part in template if part.path[:1] == ("path",))
