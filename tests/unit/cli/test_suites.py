from pathlib import Path

import pytest

from extauthz.cli.suites import load_bench
from extauthz.errors import ConfigurationError, PolicyError
from tests.suites import SHOP

TEST = "tests: [{name: %s, request: {path: /orders}, expect: 401}]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A set with a test file in its folder, one deeper, and one beside."""
    monkeypatch.chdir(tmp_path)
    Path("shop/deep").mkdir(parents=True)
    Path("shop/policy.yaml").write_text(SHOP)
    Path("shop/policy_test.yaml").write_text(TEST % "first")
    Path("shop/deep/more_test.yml").write_text(TEST % "second")
    Path("other_test.yaml").write_text(TEST % "third")


def names(*paths: str, run: str | None = None) -> list[str]:
    bench = load_bench([Path(path) for path in paths], None, run=run)
    return [case.name for suite in bench.suites for case in suite.cases]


def test_tests_are_found_below_folders_and_beside_files():
    """A folder's tests are all below it; a file's tests are the file of its name."""
    assert names("shop") == ["second", "first"]
    assert names("shop/policy.yaml") == ["first"]


def test_named_test_files_are_the_only_ones():
    """Who names a test file wants that one run."""
    assert names("shop", "other_test.yaml") == ["third"]


def test_selection_is_by_name():
    """A pattern of the shell; one that selects nothing fails, for it would always pass."""
    assert names("shop", run="f*") == ["first"]
    with pytest.raises(ConfigurationError, match=r"^--run 'x' selects none of 2 tests$"):
        names("shop", run="x")


def test_nothing_to_run_is_wrong_input():
    """A run without tests would always pass."""
    with pytest.raises(
        ConfigurationError, match=r"^other_test.yaml is a test file: name the policy that it tests, too$"
    ):
        names("other_test.yaml")
    with pytest.raises(ConfigurationError, match=r"^gone_test.yaml cannot be read: No such file or directory$"):
        names("shop", "gone_test.yaml")
    Path("shop/policy_test.yaml").unlink()
    with pytest.raises(ConfigurationError, match=r"^no tests: write shop/policy_test.yaml "):
        names("shop/policy.yaml")
    Path("shop/deep/more_test.yml").unlink()
    with pytest.raises(ConfigurationError, match=r"^no tests: write shop/policy_test.yaml "):
        names("shop")


def test_all_broken_files_are_reported_together():
    """An author sees every mistake of every test file at once."""
    Path("shop/policy_test.yaml").write_text("tests: []")
    Path("shop/deep/more_test.yml").write_text("test: []")
    with pytest.raises(PolicyError) as caught:
        names("shop")
    assert [str(d.span) for d in caught.value.diagnostics] == [
        "shop/deep/more_test.yml:1:1",
        "shop/deep/more_test.yml:1:1",
        "shop/policy_test.yaml:1:8",
    ]
