"""EAE201."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, is_on, text
from extauthz.envoy_audit.rule import Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for name, unread in (("normalize_path", "/x/../admin and /%61dmin"), ("merge_slashes", "//admin")):
        if not is_on(manager.node, name):
            yield Finding(manager.node, f"{unread} may be read in two ways: {name} is off", f"set {name}: true")
    action = text(manager.node, "path_with_escaped_slashes_action")
    if action in {"", "IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED"}:
        yield Finding(
            manager.node,
            "/x%2f..%2fadmin may be read in two ways: escaped slashes are forwarded",
            "set path_with_escaped_slashes_action: REJECT_REQUEST",
        )


RULE = Rule(
    code="EAE201",
    title="paths that two readers may read in two ways",
    severity=Severity.ERROR,
    why="""\
The filters decide about the path as it was sent, the upstream serves what it makes of it. Envoy normalises
paths only when it is told to (CVE-2019-9901, CVE-2021-29492): without that, `/x/../admin` is not `/admin` to
a rule.""",
    wrong="normalize_path: true",
    right="{normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: REJECT_REQUEST}",
    check=_check,
)
