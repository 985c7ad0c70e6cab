from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.cli.explanation import explain_asked, explanation_json, print_explanation
from extauthz.cli.options import RequestFlags
from extauthz.cli.question import Asked, ask
from extauthz.cli.render import console
from tests.suites import SHOP

FLAGS = RequestFlags(path="/orders", at="2026-03-02T10:00:00Z")


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Asks about a path, with claims or without."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(SHOP)

    def ask_about(path: str, claims: str | None = None, **flags) -> Asked:
        return ask([Path("policy.yaml")], None, replace(FLAGS, path=path, claims=claims, **flags))

    return ask_about


def printed(asked: Asked, capsys) -> str:
    print_explanation(explain_asked(asked), asked.policy_set, console())
    return str(capsys.readouterr().out)


def test_tree_shows_every_step(asked, capsys):
    """From the path to what would have allowed, one line each, whole."""
    tree = printed(asked("/orders", '{"sub": "a", "groups": ["g"], "scope": "s t"}'), capsys)
    assert tree.splitlines()[:12] == [
        "why",
        "├─ path     /orders",
        "├─ host     shop.example",
        "├─ route    list  shop.example/orders  policy.yaml:22:5",
        "├─ caller   a (provider corp)",
        "│  ├─ groups asserted: g",
        "│  └─ scopes asserted: s, t",
        "├─ roles    none",
        "│  └─ binding  does not give clerk  policy.yaml:14:5",
        "│     └─ has(claims.store) && claims.store == path.store = false",
        "│        ├─ has(claims.store) = false",
        "│        └─ claims.store == path.store  error: claims.store is absent; path['store'] is absent",
    ]
    assert tree.splitlines()[-3:] == [
        "├─ law      no allow holds, and what nothing allows is denied",
        "└─ nearest  it would have been allowed with",
        "   └─ permission orders:read (role reader)  -> list.allow.staff",
    ]


def test_refusals_end_the_tree(asked, capsys):
    """A path, a host or a credential that is refused says why, and nothing follows but the law."""
    assert printed(asked("/a/../b"), capsys).splitlines()[1:] == [
        "├─ path     the path holds a dot segment",
        "└─ law      the request is refused before any rule: path_ambiguous",
    ]
    assert printed(asked("/a", host="a,b"), capsys).splitlines()[2:] == [
        "├─ host     the host is not a single host name",
        "└─ law      the request is refused before any rule: host_invalid",
    ]
    assert "├─ caller   refused: not a JWS in compact form" in printed(asked("/orders", token="x"), capsys)


def test_nobody_and_not_looked_at_differ(asked, capsys):
    """No credential on a route that wants one, and a route that looks at none."""
    assert "├─ caller   nobody: no credential is presented" in printed(asked("/orders"), capsys)
    assert "├─ caller   not looked at: authentication is none" in printed(asked("/batch"), capsys)


def test_request_cannot_drive_the_terminal(asked, capsys):
    """Control characters of claims and paths are shown as escapes."""
    tree = printed(asked("/orders/%E2%80%AEx", '{"sub": "a\\u001b[2J", "roles": ["reader"]}'), capsys)
    assert "\x1b" not in tree
    assert "\u202e" not in tree
    assert "/orders/\\u202ex" in tree


def test_programs_get_the_same(asked):
    """Every step as data, conditions with their parts."""
    document = explanation_json(explain_asked(asked("/orders/7", '{"sub": "a", "orders": ["8"]}')))
    assert document["route"] == "order"
    assert document["caller"] == {"subject": "a", "provider": "corp", "roles": [], "groups": [], "scopes": []}
    rules = document["rules"]
    assert isinstance(rules, list)
    owner = rules[-1]
    assert (owner["id"], owner["outcome"]) == ("order.allow.owner", "unsatisfied")
    parts = owner["conditions"][0]["parts"]["parts"]
    assert parts[-1] == {
        "text": "path.id in claims.orders",
        "value": "false",
        "outcome": "unsatisfied",
        "parts": [
            {"text": "path.id", "value": '"7"', "outcome": None, "parts": []},
            {"text": "claims.orders", "value": '["8"]', "outcome": None, "parts": []},
        ],
    }
