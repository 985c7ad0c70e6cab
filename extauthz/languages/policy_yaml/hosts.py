"""Host patterns: a host exactly, every host below a suffix, or any."""

from __future__ import annotations

import re

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.policy import HostPattern

ANY_HOST = HostPattern("*")
"""Stands for any host while routes are folded; on a finished route that is None."""

_LABELS = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
_HOST = re.compile(rf"{_LABELS}|\[[0-9a-f:.]+\]")
_SUFFIX = re.compile(rf"\*\.({_LABELS})")
_MAX_HOST = 253


def read_host(scalar: Scalar, report: Report) -> HostPattern | None:
    """The pattern, in lower case as hosts are compared (RFC 9110 section 4.2.3); None after reporting."""
    text = scalar.text.lower()
    if text == "*":
        return ANY_HOST
    suffix = _SUFFIX.fullmatch(text)
    if len(text) <= _MAX_HOST and (suffix or _HOST.fullmatch(text)):
        return HostPattern(suffix[1], suffix=True) if suffix else HostPattern(text)
    report.error(Code.HOST, scalar, f"{quoted(scalar.text)} is not a host", _hint(text))
    return None


def _hint(text: str) -> str:
    if not text.isascii():
        return "write an internationalised name in its ASCII form (xn--...)"
    if re.search(r":[0-9]*$", text):
        return "leave the port out: hosts are compared without it"
    if text.endswith("."):
        return "leave the final dot out"
    if "/" in text:
        return "a host has no scheme and no path"
    return "write shop.example, *.shop.example for every host below it, or * for any"
