import pytest

from extauthz.errors import ConfigurationError
from extauthz.sources.policy_walk import find_files


@pytest.fixture
def folder(tmp_path):
    for name in (
        "policy.yaml",
        "policy_test.yaml",
        "rules.rego",
        "rules_test.rego",
        "data.json",
        "shop/more.yml",
        "shop/data.yaml",
        "shop/lib/lib.REGO",
        "shop/.hidden.rego",
        "README.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def test_each_file_has_its_part(folder):
    """Policies, modules, data below its folders, and the tests of both languages; nothing else."""
    found = find_files([str(folder)])
    assert found.policies == (f"{folder}/policy.yaml", f"{folder}/shop/more.yml")
    assert found.modules == (f"{folder}/rules.rego", f"{folder}/shop/lib/lib.REGO")
    assert found.data == {f"{folder}/data.json": (), f"{folder}/shop/data.yaml": ("shop",)}
    assert found.tests == (f"{folder}/policy_test.yaml",)
    assert found.rego_tests == (f"{folder}/rules_test.rego",)
    assert list(found.directories) == [str(folder), f"{folder}/shop", f"{folder}/shop/lib"]


def test_folders_count_from_the_path_that_is_given(folder):
    """As OPA has it: the given folder's own name is no key."""
    found = find_files([f"{folder}/shop", f"{folder}/data.json"])
    assert found.data == {f"{folder}/data.json": (), f"{folder}/shop/data.yaml": ()}


def test_a_file_that_is_given_twice_counts_once(folder):
    """By whatever name."""
    (folder / "link.rego").symlink_to("rules.rego")
    found = find_files([f"{folder}/rules.rego", str(folder)])
    assert found.modules == (f"{folder}/rules.rego", f"{folder}/shop/lib/lib.REGO")


def test_the_values_file_is_no_part(folder):
    """Even where it is called data.yaml."""
    found = find_files([str(folder)], besides=f"{folder}/shop/data.yaml")
    assert list(found.data) == [f"{folder}/data.json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("policy_test.yaml", "is a test file"),
        ("rules_test.rego", "is a test file"),
        ("README.md", "is not a policy file"),
        ("missing", "does not exist"),
    ],
)
def test_paths_that_cannot_be_used(folder, name, message):
    """One line that says what is wrong with the path."""
    with pytest.raises(ConfigurationError, match=message):
        find_files([f"{folder}/{name}"])


def test_a_folder_without_any(tmp_path):
    """Nothing to serve is an error, not an empty set."""
    with pytest.raises(ConfigurationError, match="holds no policy files"):
        find_files([str(tmp_path)])
