"""Bundles made by OPA (`opa build -t plan`): a gzipped tar archive with a plan and data.

Only `plan.json` and `data.json` are taken; data in folders stands below the folders' names. Modules in a bundle are
what the plan was made from. Signatures are the transport's business.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from dataclasses import dataclass

from extauthz.errors import PolicyError
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.data_files import graft
from extauthz.languages.rego.modules import parse_data, plan_document
from extauthz.languages.rego.value import Value
from extauthz.model.source import Diagnostic, Span

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""Of a whole bundle."""

MAX_MEMBERS = 10_000


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
    try:
        files = _unpack(content)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise _refused(path, f"not a bundle: {type(error).__name__}") from error
    except ValueError as error:
        raise _refused(path, str(error)) from error
    plan = files.get("plan.json")
    if plan is None:
        raise _refused(path, "the bundle has no plan: build it with `opa build -t plan -e ENTRYPOINT`")
    data: dict[str, Value] = {}
    for name in sorted(files):
        if name == "data.json" or name.endswith("/data.json"):
            document = parse_data(f"{path}/{name}", files[name])
            graft(path, data, name.split("/")[:-1], document)
    manifest = parse_data(f"{path}/.manifest", files[".manifest"]) if ".manifest" in files else {}
    revision = manifest.get("revision", "")
    return Bundle(plan_document(f"{path}/plan.json", plan), data, revision if type(revision) is str else "")


def _refused(path: str, message: str) -> PolicyError:
    return PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.NOT_A_PLAN, message)])


def _unpack(content: bytes) -> dict[str, bytes]:
    """The files that matter, by their names without a leading slash."""
    files: dict[str, bytes] = {}
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as compressed:
        unpacked = compressed.read(MAX_UNPACKED_BYTES + 1)
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise ValueError(f"the bundle is larger than {MAX_UNPACKED_BYTES // 1024 // 1024} MiB when unpacked")
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
        for number, member in enumerate(archive):
            if number >= MAX_MEMBERS:
                raise ValueError(f"the bundle has more than {MAX_MEMBERS} files")
            name = member.name.removeprefix("./").lstrip("/")
            if not member.isreg() or name.rpartition("/")[2] not in {"plan.json", "data.json", ".manifest"}:
                continue
            file = archive.extractfile(member)
            if name in files or file is None:
                raise ValueError(f"the bundle has {name!r} twice")
            files[name] = file.read()
    return files
