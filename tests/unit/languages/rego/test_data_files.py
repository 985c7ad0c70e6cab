import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego import DataFile, join_data


def file(path: str, content: str, *folders: str) -> DataFile:
    return DataFile(path, folders, content.encode())


def test_files_add_up_below_their_folders():
    """As OPA loads a folder: objects merge, and a folder's name is a key."""
    files = [
        file("p/data.json", '{"a": {"x": 1}}'),
        file("p/a/data.yaml", "y: [true, no, 0x10, ~]\n", "a"),
        file("p/b/c/data.yml", "1: one\n", "b", "c"),
    ]
    assert join_data(files) == {"a": {"x": 1, "y": [True, "no", 16, None]}, "b": {"c": {"1": "one"}}}


def test_no_files_are_an_empty_document():
    """Rules that read data then find nothing."""
    assert join_data([]) == {}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([file("data.json", "[1]")], "data.json:1:1: EAZ859 the data document must be an object"),
        ([file("data.yaml", "[1]")], "data.yaml:1:1: EAZ859 the data document must be a mapping"),
        ([file("data.yaml", "")], "data.yaml:1:1: EAZ859 the data document must be a mapping"),
        ([file("data.yaml", "a: [")], "data.yaml:1:1: EAZ859 not a YAML text"),
        ([DataFile("data.yaml", (), b"\xff")], "data.yaml:1:1: EAZ859 not a YAML text"),
        ([file("data.yaml", "{a: 1, a: 2}")], "data.yaml:1:1: EAZ859 not a YAML text"),
        ([file("data.json", '{"a": 1}'), file("x/data.json", '{"a": 1}')], "x/data.json:1:1: EAZ859 data at 'a' is"),
        ([file("data.json", '{"a": 1}'), file("a/data.json", "{}", "a")], "a/data.json:1:1: EAZ859 data at 'a' is"),
    ],
)
def test_what_cannot_be_used(files, message):
    """Refused at its file: what is no object, and what is said twice."""
    with pytest.raises(PolicyError) as caught:
        join_data(files)
    assert message in str(caught.value)
