import pytest

from extauthz.envoy_audit.audit import audit
from extauthz.envoy_audit.rule import MANAGER
from extauthz.errors import PolicyError
from extauthz.model.source import Severity
from tests.envoy_configurations import audited, ext_authz, filters


def test_findings_have_their_place_line_and_hint():
    """Sorted by place; columns count from 1."""
    text = f"{MANAGER}\nhttp_filters:\n  - {ext_authz('failure_mode_allow: true')}\n"
    found = audit("envoy.yaml", text.encode())
    (finding,) = [each for each in found.findings if each.code == "EAE102"]
    assert (finding.span.file, finding.span.line) == ("envoy.yaml", 3)
    assert finding.source_line[finding.span.column - 1 :].startswith("true")
    assert finding.severity is Severity.ERROR
    assert finding.hint == "remove failure_mode_allow"
    assert list(found.findings) == sorted(found.findings)


def test_rules_can_be_left_out():
    """By their codes."""
    text = f"{MANAGER}\n".encode()
    codes = {each.code for each in audit("x", text).findings}
    assert {each.code for each in audit("x", text, ignored=("EAE101",)).findings} == codes - {"EAE101"}


def test_every_manager_is_looked_at():
    """Wherever it stands; one that an alias repeats once."""
    chain = f"&m {{filters: [{{typed_config: {{{MANAGER}}}}}]}}"
    text = f"static_resources: {{listeners: [{{filter_chains: [{chain}, *m]}}, {{filter_chains: [{chain[3:]}]}}]}}"
    assert audit("x", text.encode()).managers == 2
    assert audit("x", b"static_resources: {}").managers == 0


def test_json_with_any_text_is_read():
    """A condition may hold NUL."""
    text = '{"@type": "x.HttpConnectionManager", "http_filters": [{"name": "a", "x": "\\u0000"}]}'
    assert audit("x", text.encode()).managers == 1


@pytest.mark.parametrize("content", [b"", b"a: [", b"a: 1\na: 2\n", b"\xff", b"a: 1\n---\nb: 1\n"])
def test_what_cannot_be_read_is_told(content):
    """At its place."""
    with pytest.raises(PolicyError):
        audit("envoy.yaml", content)


def test_what_comes_by_discovery_is_told():
    """Nothing is said about it."""
    found = audited(filters("{name: d, config_discovery: {}}") + "rds: {}\n")
    assert [note.partition(": ")[2] for note in found.unseen] == [
        "routes come by discovery",
        "the configuration of d comes by discovery",
    ]
    listeners = audit("x", b"dynamic_resources: {lds_config: {}}")
    assert listeners.unseen == ("x:1:33: listeners come by discovery",)
