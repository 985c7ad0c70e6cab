import pytest

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import RegoSet, equal

DOCUMENT = {"a": {"b": [1, 2, {"c": 3}], "s": RegoSet([1, 2])}, "x~/y": 4}


def test_filter_keeps_what_paths_lead_to(call):
    """A path to a whole covers paths into it."""
    assert equal(call("json.filter", DOCUMENT, ["a/b/2/c", "x~0~1y"]), {"a": {"b": [{"c": 3}]}, "x~/y": 4})
    assert equal(call("json.filter", DOCUMENT, ["a", "a/b/0"]), {"a": DOCUMENT["a"]})
    assert call("json.filter", DOCUMENT, []) == {}


def test_remove_takes_away_what_paths_lead_to(call):
    """Arrays close up; what does not exist is no error."""
    assert equal(
        call("json.remove", DOCUMENT, [["a", "b", "0"], "a/s", "nothing"]), {"a": {"b": [2, {"c": 3}]}, "x~/y": 4}
    )


@pytest.mark.parametrize("paths", [[1], ["a", {}], "a", RegoSet([1])])
def test_wrong_paths(call, paths):
    """Paths are texts or arrays."""
    with pytest.raises(BuiltinError):
        call("json.remove", DOCUMENT, paths)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/a/b/9", "value": 1},
        {"op": "add", "path": "/a/b/01", "value": 1},
        {"op": "add", "path": "/a/none/x", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "copy", "from": "/none", "path": "/z"},
        {"op": "test", "path": "/a/b/0", "value": True},
        {"op": "add", "path": "/z"},
        {"op": "burn", "path": "/a"},
        {"path": "/a"},
        1,
    ],
)
def test_patches_that_do_not_apply(call, operation):
    """An operation that cannot be done undoes the whole patch."""
    with pytest.raises(BuiltinError):
        call("json.patch", DOCUMENT, [operation])


def test_patch_makes_a_new_document(call):
    """The document that was patched is as it was."""
    before = repr(DOCUMENT)
    patched = call(
        "json.patch",
        DOCUMENT,
        [
            {"op": "copy", "from": "/a/b/2", "path": "/a/b/0"},
            {"op": "remove", "path": ["a", "s", 1]},
            {"op": "add", "path": ["a", "s", 5], "value": 5},
            {"op": "replace", "path": "/x~0~1y", "value": None},
        ],
    )
    assert equal(patched, {"a": {"b": [{"c": 3}, 1, 2, {"c": 3}], "s": RegoSet([2, 5])}, "x~/y": None})
    assert repr(DOCUMENT) == before
