import gzip
import io
import json
import tarfile

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego import archive as archive_module
from extauthz.languages.rego import load_plan, read_bundle
from tests.harness.rego_plans import RETURN, block, function, plan, statement

PLAN = plan(function("r", block(statement("MakeNumberIntStmt", value=5, target=2)), RETURN))


def archive(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_a_bundle_loads_as_it_is():
    """The plan, data below its folders, the manifest's revision; modules are not needed."""
    content = archive(
        **{
            "/plan.json": PLAN,
            "/data.json": {"a": {"x": 1}},
            "/a/b/data.json": {"c": 2},
            "/.manifest": {"revision": "r1"},
            "/t.rego": b"package t",
        }
    )
    bundle = read_bundle("b.tar.gz", content)
    assert bundle.data == {"a": {"x": 1, "b": {"c": 2}}}
    assert bundle.revision == "r1"
    assert load_plan(bundle.plan, bundle.data).evaluate("t/r", now_ns=0) == 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        gzip.compress(b"no tar"),
        archive(**{"data.json": {}}),
        archive(**{"plan.json": b"{"}),
        archive(**{"plan.json": PLAN, "data.json": [1]}),
        archive(**{"plan.json": PLAN, "data.json": {"a": 1}, "a/data.json": {"b": 1}}),
        archive(**{"plan.json": PLAN, "data.json": {"a": {"b": 1}}, "a/data.json": {"b": 2}}),
        archive(**{"plan.json": PLAN, "./plan.json": PLAN}),
        archive(**{"plan.json": PLAN})[:-20],
    ],
)
def test_broken_bundles(content):
    """Refused, with the name of the bundle."""
    with pytest.raises(PolicyError, match=r"b\.tar\.gz"):
        read_bundle("b.tar.gz", content)


def test_a_bundle_that_unpacks_to_too_much(monkeypatch):
    """Its headers are enough to refuse it."""
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1_000)
    with pytest.raises(PolicyError, match="larger than"):
        read_bundle("b.tar.gz", archive(**{"plan.json": PLAN, "big": b"x" * 2_000}))
