from collections.abc import Sequence

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import ParsedSet, SourceText, parse_policy_set
from tests.policies import HEAD, ROLES, ROUTE


def parse(*texts: str) -> ParsedSet:
    sources = [SourceText(f"{number}.yaml", text.encode()) for number, text in enumerate(texts)]
    return parse_policy_set(sources, read_file=lambda _: b"")


def found(*texts: str) -> Sequence[tuple[str, str]]:
    with pytest.raises(PolicyError) as raised:
        parse(*texts)
    return [(diagnostic.code, str(diagnostic.span)) for diagnostic in raised.value.diagnostics]


def test_maps_merge_and_lists_concatenate():
    """In the order of the files; a name may be used in another file than it is defined in."""
    more = (
        "roles: {auditor: {inherits: [reader]}}\nroutes:\n  - {name: audit, path: /audit, allow: [{role: auditor}]}\n"
    )
    merged = parse(HEAD + ROUTE, ROLES, more, "deny: [{role: auditor}]\n", "deny: [{role: reader}]\n").policy_set
    assert list(merged.roles) == ["reader", "admin", "auditor"]
    assert [route.name for route in merged.routes] == ["orders", "audit"]
    assert [rule.id for rule in merged.routes[0].deny] == ["set.deny.0", "set.deny.1"]


def test_scalars_must_agree():
    """Said once or twice, but not differently."""
    assert parse(HEAD + ROUTE, "version: 1\nname: shop\n").policy_set.name == "shop"
    assert found(HEAD + ROUTE, "name: store\n") == [("EAZ209", "1.yaml:1:7")]
    assert found(HEAD + ROUTE, "paths: {trailing_slash: same}\n", "paths: {trailing_slash: distinct}\n") == [
        ("EAZ209", "2.yaml:1:25")
    ]


def test_a_scalar_and_a_mapping_do_not_agree():
    """Either order."""
    none, some = "defaults: {cors: none}\n", "defaults: {cors: {origins: ['https://a.example']}}\n"
    assert [code for code, _ in found(HEAD + ROUTE, none, some)] == ["EAZ209"]
    assert [code for code, _ in found(HEAD + ROUTE, some, none)] == ["EAZ209"]


def test_records_merge_key_by_key():
    """What one file says about responses, another may add to."""
    merged = parse(HEAD + ROUTE, "responses: {format: text}\n", "responses: {realm: shop}\n").policy_set
    assert (merged.responses.format, merged.responses.realm) == ("text", "shop")


def test_a_name_is_defined_once():
    """Even when both say the same."""
    assert found(HEAD + ROUTE + ROLES, ROLES) == [("EAZ303", "1.yaml:2:3"), ("EAZ303", "1.yaml:3:3")]
    headers = "upstream_headers: {set: {x-a: a}}\n"
    assert found(HEAD + ROUTE + headers, headers) == [("EAZ303", "1.yaml:1:26")]
