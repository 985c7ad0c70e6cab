import pytest

from extauthz.authoring.key_order import order_keys
from extauthz.authoring.language import SUITE
from extauthz.authoring.layout import read_layout
from extauthz.authoring.layout_text import layout_text
from extauthz.languages.policy_yaml.language import API_KEYS, POLICY


def ordered(text: str, shape=POLICY) -> str:
    layout = read_layout(text)
    order_keys(layout, shape)
    return layout_text(layout)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("routes:\n  - {path: /a, name: x}\n", "routes:\n  - {name: x, path: /a}\n"),
        (
            "routes:\n  - group: {routes: [{path: /a, name: x}], prefix: /g}\n",
            "routes:\n  - group: {prefix: /g, routes: [{name: x, path: /a}]}\n",
        ),
        ("roles:\n  b: {permissions: [p], inherits: [a]}\n", "roles:\n  b: {inherits: [a], permissions: [p]}\n"),
        ("providers:\n  a: {jwks: {}, issuer: i}\n", "providers:\n  a: {issuer: i, jwks: {}}\n"),
        (
            "providers:\n  k: {may_assert: all, api_keys: {header: h, file: f}}\n",
            "providers:\n  k: {api_keys: {file: f, header: h}, may_assert: all}\n",
        ),
        (
            "providers:\n  a: {claims: {roles: r, subject: s}, may_assert: {scopes: [x], roles: [y]}}\n",
            "providers:\n  a: {claims: {subject: s, roles: r}, may_assert: {roles: [y], scopes: [x]}}\n",
        ),
    ],
)
def test_keys_stand_in_the_order_of_the_language(before, after):
    """Of records in lists, mappings and groups."""
    assert ordered(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "routes: []\nversion: 1\n",
        "roles:\n  z: {}\n  a: {}\n",
        "routes: [{path: /b}, {path: /a}]\n",
        "providers:\n  a: {jwks: {inline: {keys: [{kty: EC, alg: ES256, b: 1, a: 2}]}}}\n",
        "x-a:\n  routes: {z: 1, a: 2}\n",
    ],
)
def test_what_is_the_authors_stays(text):
    """Sections, names, lists, and mappings of any content."""
    assert ordered(text) == text


def test_unknown_keys_come_last():
    """In the order in which they stand."""
    assert ordered("routes:\n  - {zz: 1, aa: 2, name: x}\n") == "routes:\n  - {name: x, zz: 1, aa: 2}\n"


def test_comments_go_with_their_keys():
    """Those above and those beside."""
    before = "routes:\n  - # the path\n    path: /a  # beside\n    # the name\n    'name': x\n"
    after = "routes:\n  # the path\n  # the name\n  - 'name': x\n    path: /a  # beside\n"
    assert ordered(before) == after


def test_nothing_moves_where_there_are_anchors():
    """An alias must come after its anchor."""
    text = "routes:\n  - {path: &p /a, name: *p}\n"
    assert ordered(text) == text


def test_tests_and_api_keys_have_their_own_order():
    """Each file has its language."""
    assert ordered("tests:\n  - {expect: allow, name: x, request: {path: /, method: GET}}\n", SUITE) == (
        "tests:\n  - {name: x, request: {method: GET, path: /}, expect: allow}\n"
    )
    assert ordered("- {subject: a, sha256: b}\n", API_KEYS) == "- {sha256: b, subject: a}\n"


def test_no_blank_line_moves_into_a_block():
    """One that keeps its end would take it for its own."""
    before = "routes:\n  - methods: [GET]\n\n    path: /a\n    name: |+\n      x\n"
    assert ordered(before) == "routes:\n  - name: |+\n      x\n    path: /a\n    methods: [GET]\n"
