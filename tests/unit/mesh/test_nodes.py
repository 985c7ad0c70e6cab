from __future__ import annotations

import hashlib

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh.nodes import check_token, load_nodes

TOKEN = "0123456789abcdef" * 2
ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"


def digest(token=TOKEN):
    return hashlib.sha256(token.encode()).hexdigest()


def nodes(tmp_path, text):
    file = tmp_path / "nodes.yaml"
    file.write_text(text)
    return load_nodes(file)


def test_a_token_stands_for_one_identity(tmp_path):
    """As a bearer token, and no other way."""
    known = nodes(tmp_path, f"nodes: [{{token_sha256: {digest()}, identity: '{ORDERS}'}}]")
    assert known.identity_of(f"Bearer {TOKEN}") == ORDERS
    for other in (
        None,
        "",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer ",
        "Bearer \udcff",
        f"Bearer {digest()}",
    ):
        assert known.identity_of(other) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nodes.yaml"),
        ("nodes: [{token_sha256: abc, identity: 'spiffe://a/b'}]", "nodes.0.token_sha256"),
        (f"nodes: [{{token_sha256: {digest()}, identity: orders}}]", "nodes.0.identity: 'orders' is no identity"),
        ("nodes: [", "is no YAML"),
        (f"nodes: [{{token_sha256: {digest()}, identity: '{ORDERS}', admin: true}}]", "nodes.0.admin"),
        (f"nodes: {[{'token_sha256': digest(), 'identity': ORDERS}] * 2}", "stands for more than one node"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, said):
    """One line, with the place."""
    with pytest.raises(ConfigurationError, match=said):
        nodes(tmp_path, text)


def test_a_file_that_is_missing(tmp_path):
    """Told by its name."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_nodes(tmp_path / "none")


@pytest.mark.parametrize("text", ["", "short", "a" * 31, "a" * 40 + " b", "a" * 40 + "\n"])
def test_what_is_no_token(text):
    """Neither empty nor guessable, and nothing that ends a header."""
    with pytest.raises(ValueError, match="holds no token"):
        check_token(text)
    assert check_token(TOKEN) == TOKEN
