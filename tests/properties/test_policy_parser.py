"""The parser of policy text raises nothing but its own error, whatever it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from tests.policies import HEAD, ROLES, ROUTE

GOLDEN = Path(__file__).parents[1] / "golden"
SETS = [path.read_bytes() for path in sorted(GOLDEN.glob("*/policy.yaml"))]
WORDS = sorted({word for text in SETS for word in text.replace(b",", b" ").split() if len(word) < 60})


def read_file(path: str) -> bytes:
    """Some file for every name, or none."""
    if path.endswith(".json"):
        return b'{"keys": [{"kty": "RSA"}]}'
    raise FileNotFoundError(2, "No such file or directory", path)


def check_error(error: PolicyError) -> None:
    """It says what is wrong, at a place, in a way that a terminal can show."""
    assert error.diagnostics
    assert all(line.isprintable() for line in str(error).split("\n"))
    assert all(d.span.line > 0 and d.span.column > 0 for d in error.diagnostics)


def survives(*contents: bytes) -> bool:
    """Whether the contents are a set; raises when the parser raises what it must not."""
    sources = [SourceText(f"{number}.yaml", content) for number, content in enumerate(contents)]
    try:
        parsed = parse_policy_set(sources, read_file=read_file, values={"ISSUER": "https://i.example"})
    except PolicyError as error:
        check_error(error)
        return False
    assert parsed.policy_set.routes
    return True


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_any_bytes_are_a_set_or_a_policy_error(contents):
    """Not even text."""
    survives(*contents)


@given(st.text(max_size=200))
def test_any_text_after_a_valid_head_is_a_set_or_a_policy_error(text):
    """Far enough into the file to be looked at."""
    survives((HEAD + ROLES + ROUTE + text).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_mutation_of_a_set_is_a_set_or_a_policy_error(data):
    """Pieces cut out, repeated, replaced by words of other sets."""
    text = data.draw(st.sampled_from(SETS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = (
            text[:start]
            + data.draw(st.sampled_from([b"", text[start:end] * 2, *WORDS]) | st.binary(max_size=4))
            + text[end:]
        )
    survives(text)


_leaves = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        1.5,
        "",
        "a",
        "*",
        "**",
        "/",
        "/a/{b}",
        "corp",
        "reader",
        "none",
        "GET",
        "true",
        "${ISSUER}",
        "claims.a == 1",
        "variables.a",
        "10.0.0.0/8",
        "spiffe://a/b",
        "https://a.example",
        "{principal.subject}",
    ]
)
_KEYS = sorted(
    {key for word in WORDS if word.endswith(b":") for key in [word.strip(b"{}[]-'\":").decode("utf-8", "ignore")]}
)
_trees = st.recursive(
    _leaves,
    lambda tree: st.lists(tree, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), tree, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            "providers",
            "roles",
            "bindings",
            "variables",
            "paths",
            "defaults",
            "deny",
            "routes",
            "upstream_headers",
            "responses",
            "trust_domains",
            "trusted_proxies",
            "require",
            "allow",
            "name",
            "version",
        ]
    ),
    _trees,
)
def test_any_value_of_any_key_is_a_set_or_a_policy_error(key, tree):
    """Every type at every place."""
    base = yaml.safe_load(HEAD + ROLES + ROUTE)
    survives(yaml.safe_dump({**base, key: tree}).encode())


def test_a_valid_set_survives():
    """So that the others can fail."""
    assert survives((HEAD + ROLES + ROUTE).encode())


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "&a [", "!a [", "routes: [{group: {routes: ["])
def test_deep_nesting_is_an_error_and_no_crash(opening):
    """Ten thousand levels."""
    assert not survives((opening * 10_000).encode())
