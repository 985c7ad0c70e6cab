"""Bundles made by OPA (`opa build -t plan`): a gzipped tar archive with a plan and data.

Only `plan.json` and `data.json` are taken; data in folders stands below the folders' names. Modules in a bundle are
what the plan was made from. Signatures are the transport's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.languages.rego.archive import refused, unpack
from extauthz.languages.rego.data_files import graft
from extauthz.languages.rego.modules import parse_data, plan_document
from extauthz.languages.rego.value import Value

_FILES = frozenset({"plan.json", "data.json", ".manifest"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds."""

    plan: object
    """The plan's JSON document."""
    data: dict[str, Value]
    revision: str
    """What its manifest says; empty when it says nothing."""


def read_bundle(path: str, content: bytes) -> Bundle:
    """Read a bundle.

    Raises:
        PolicyError: it is none, or has no plan, or is larger than anybody needs.
    """
    files = unpack(path, content, lambda name: name.rpartition("/")[2] in _FILES)
    plan = files.get("plan.json")
    if plan is None:
        raise refused(path, "the bundle has no plan: build it with `opa build -t plan -e ENTRYPOINT`")
    data: dict[str, Value] = {}
    for name in sorted(files):
        if name == "data.json" or name.endswith("/data.json"):
            document = parse_data(f"{path}/{name}", files[name])
            graft(path, data, name.split("/")[:-1], document)
    manifest = parse_data(f"{path}/.manifest", files[".manifest"]) if ".manifest" in files else {}
    revision = manifest.get("revision", "")
    return Bundle(plan_document(f"{path}/plan.json", plan), data, revision if type(revision) is str else "")
