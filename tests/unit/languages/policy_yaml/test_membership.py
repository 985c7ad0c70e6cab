import json

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import ParsedSet, SourceText, parse_policy_set

KEYED = """\
version: 1
providers:
  machines: {api_keys: {file: FILE, header: x-api-key}}
roles: {reader: {permissions: [read]}}
routes:
  - {name: a, path: /a, allow: [{role: reader}]}
"""
KEYS = json.dumps([{"sha256": "ab" * 32, "subject": "machine", "roles": ["reader"]}])


def parse(files: dict[str, str], values: dict[str, str] | None = None) -> ParsedSet:
    """Parses all files as one set that may also name them."""
    sources = [SourceText(path, text.encode()) for path, text in files.items()]
    return parse_policy_set(sources, read_file=lambda path: files[path].encode(), values=values or {})


@pytest.mark.parametrize("name", ["keys.yaml", "./keys.yaml", "../p/keys.yaml"])
def test_key_file_in_the_folder_is_no_policy(name):
    """A folder may hold the API keys that its policy names, however the name is written."""
    files = {"p/policy.yaml": KEYED.replace("FILE", name), "p/keys.yaml": KEYS}
    read = {**files, f"p/{name}": KEYS}
    sources = [SourceText(path, text.encode()) for path, text in files.items()]
    parsed = parse_policy_set(sources, read_file=lambda path: read[path].encode())
    assert [key.subject for key in parsed.policy_set.api_key_providers[0].keys] == ["machine"]


def test_name_may_hold_a_value():
    """`${NAME}` is resolved before names are compared."""
    files = {"p/policy.yaml": KEYED.replace("FILE", '"${STAGE}.yaml"'), "p/test.yaml": KEYS}
    assert parse(files, {"STAGE": "test"}).references == ("p/test.yaml",)


def test_unnamed_file_is_policy():
    """Any other file of the folder is policy, and a list is none."""
    files = {"p/policy.yaml": KEYED.replace("FILE", "keys.yaml"), "p/keys.yaml": KEYS, "p/more.yaml": KEYS}
    with pytest.raises(PolicyError) as raised:
        parse(files)
    assert {diagnostic.span.file for diagnostic in raised.value.diagnostics} == {"p/more.yaml"}


def test_policy_named_as_keys_is_no_silent_loss():
    """A policy that is named as a key file by mistake cannot be read as one: its rules do not just vanish."""
    files = {"p/policy.yaml": KEYED.replace("FILE", "deny.yaml"), "p/deny.yaml": "deny: [{when: 'true'}]\n"}
    with pytest.raises(PolicyError) as raised:
        parse(files)
    assert {diagnostic.span.file for diagnostic in raised.value.diagnostics} == {"p/deny.yaml"}


def test_policy_that_names_itself_leaves_none():
    """Nothing remains that could be policy: an error that says so, not an empty list of errors."""
    with pytest.raises(PolicyError) as raised:
        parse({"p/policy.yaml": KEYED.replace("FILE", "policy.yaml")})
    assert [diagnostic.message for diagnostic in raised.value.diagnostics] == ["there is no policy file"]
