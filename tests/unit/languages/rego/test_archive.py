import gzip

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego import archive as archive_module
from extauthz.languages.rego.archive import read_archive, unpack
from tests.harness.bundles import archive

WHOLE = {
    "/shop/policy.rego": "package shop\n",
    "/shop/policy_test.rego": "package shop_test\n",
    "./data.json": {"a": 1},
    "/shop/eu/data.yaml": "b: 2\n",
    "/notes.json": {"never": "read"},
    "/.manifest": {"revision": "r7", "roots": ["shop"]},
}


def test_what_a_bundle_holds():
    """Modules, data with the folders it stands below, the manifest's revision; tests are no part of it."""
    found = read_archive("b.tar.gz", archive(WHOLE))
    assert [(module.path, module.text) for module in found.modules] == [("b.tar.gz/shop/policy.rego", "package shop\n")]
    assert [(file.path, file.folders) for file in found.data] == [
        ("b.tar.gz/data.json", ()),
        ("b.tar.gz/shop/eu/data.yaml", ("shop", "eu")),
    ]
    assert (found.revision, found.plan) == ("r7", None)


def test_a_plan():
    """It is handed on as it is; without a manifest there is no revision."""
    found = read_archive("b", archive({"plan.json": {"plans": {}}}))
    assert (found.plan, found.revision, found.modules) == ({"plans": {}}, "", ())
    assert read_archive("b", archive({".manifest": {"revision": 7}})).revision == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a bundle"),
        (b"text", "not a bundle"),
        (gzip.compress(b"no tar"), "not a bundle"),
        (archive(WHOLE)[:-20], "not a bundle"),
        (archive({"a.rego": b"\xff"}), "not UTF-8"),
        (archive({"plan.json": b"{"}), "not a JSON text"),
        (archive({".manifest": b"[]"}), "must be an object"),
        (archive({"a.rego": "package a", "/a.rego": "package a"}), "twice"),
        (archive({".signatures.json": {"signatures": []}, "a.rego": "package a"}), "signed"),
    ],
)
def test_bundles_that_cannot_be_used(content, message):
    """Each says why, under the name of the bundle."""
    with pytest.raises(PolicyError, match=message) as refused:
        read_archive("b.tar.gz", content)
    assert refused.value.diagnostics[0].span.file.startswith("b.tar.gz")


def test_limits(monkeypatch):
    """A small archive may unpack to anything."""
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1024 * 1024)
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 3)
    with pytest.raises(PolicyError, match="larger than 1 MiB"):
        unpack("b", archive({"data.json": b" " * 2_000_000}), lambda _: True)
    with pytest.raises(PolicyError, match="more than 3 files"):
        unpack("b", archive({f"{n}.rego": "" for n in range(4)}), lambda _: True)
    assert unpack("b", archive({"a": "1", "b": "2"}), lambda name: name == "b") == {"b": b"2"}
