from pathlib import Path

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from extauthz.sources.policy_files import load

ALLOWED = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/web/sa/web]}}]
      to: [{operation: {methods: [GET], paths: ["/orders/*"]}}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("istio.yaml").write_text(ALLOWED)


def test_set_is_written_and_loads(capsys):
    """It names what it is made of, and what is there is not written over."""
    assert run(["policy", "import", "istio", "istio.yaml", "-o", "orders"]) == 0
    assert capsys.readouterr().err == "wrote orders/policy.yaml\n"
    assert "# AuthorizationPolicy shop/readers (istio.yaml): rules[0]" in Path("orders/policy.yaml").read_text()
    assert load(["orders"]).parsed.policy_set.name == "istio-shop"
    assert run(["policy", "import", "istio", "istio.yaml", "-o", "orders"]) == EXIT_WRONG_INPUT


def test_what_is_not_exact_is_reported(capsys):
    """With exit code 2; the set is printed, and denies more."""
    Path("istio.yaml").write_text(ALLOWED.replace("methods: [GET]", "hosts: [shop.example]"))
    assert run(["policy", "import", "istio", "istio.yaml"]) == EXIT_NEGATIVE
    out, err = capsys.readouterr()
    assert "nobody" in out
    assert err == (
        "not exact: AuthorizationPolicy shop/readers (istio.yaml): rules[0]: hosts shop.example has no exact equal: "
        "the rule allows less\n"
    )
    assert run(["policy", "import", "istio", "istio.yaml", "--hosts-without-port"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.yaml"], "absent.yaml cannot be read: No such file or directory"),
        (["empty.yaml"], "the files hold no policy"),
        (["istio.yaml", "--label", "app"], "--label app: write NAME=VALUE"),
        (["plain.yaml"], "the policies make no set that can be served: "),
    ],
)
def test_wrong_input_is_one_clear_line(arguments, message, capsys):
    """And nothing is written."""
    Path("empty.yaml").touch()
    Path("plain.yaml").write_text(
        "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: j},"
        " spec: {jwtRules: [{issuer: 'https://issuer.example', jwksUri: 'ftp://keys'}]}}"
    )
    assert run(["policy", "import", "istio", *arguments]) == EXIT_WRONG_INPUT
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)
