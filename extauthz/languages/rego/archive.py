"""Bundles as OPA serves them (`opa build`): modules and data in a gzipped tar archive. Without a plan: see `bundle`.

Signatures are refused rather than overlooked.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from extauthz.errors import PolicyError
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.data_files import DATA_NAMES, DataFile
from extauthz.languages.rego.modules import Module, parse_data, plan_document
from extauthz.model.source import Diagnostic, Span

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""Of a whole bundle."""

MAX_MEMBERS = 10_000

_MANIFEST = ".manifest"
_SIGNATURES = ".signatures.json"
_PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Archive:
    """What a bundle holds."""

    modules: tuple[Module, ...]
    data: tuple[DataFile, ...]
    plan: object
    """The plan's JSON document; None where there is none."""
    revision: str
    """What its manifest says; empty when it says nothing."""


def read_archive(path: str, content: bytes) -> Archive:
    """Read a bundle; `path` is for messages.

    Raises:
        PolicyError: it is none, is signed, is larger than anybody needs, or holds a file that is no text.
    """
    files = unpack(path, content, _is_of_use)
    if _SIGNATURES in files:
        raise refused(path, "the bundle is signed, and signatures cannot be verified here")
    modules, data = [], []
    for name in sorted(files):
        folders, _, last = name.rpartition("/")
        if last in DATA_NAMES:
            data.append(DataFile(f"{path}/{name}", tuple(folders.split("/")) if folders else (), files[name]))
        elif last.endswith(".rego") and not last.endswith("_test.rego"):
            modules.append(Module(f"{path}/{name}", _text(f"{path}/{name}", files[name])))
    manifest = parse_data(f"{path}/{_MANIFEST}", files[_MANIFEST]) if _MANIFEST in files else {}
    revision = manifest.get("revision", "")
    plan = plan_document(f"{path}/{_PLAN}", files[_PLAN]) if _PLAN in files else None
    return Archive(tuple(modules), tuple(data), plan, revision if type(revision) is str else "")


def _is_of_use(name: str) -> bool:
    last = name.rpartition("/")[2]
    return name in {_MANIFEST, _SIGNATURES, _PLAN} or last in DATA_NAMES or last.endswith(".rego")


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.SYNTAX, "the module is not UTF-8")]) from None


def unpack(path: str, content: bytes, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The files of an archive that are wanted, by their names without a leading slash; `path` is for messages.

    Raises:
        PolicyError: it is no archive, or is larger than anybody needs.
    """
    try:
        return _unpack(content, wanted)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise refused(path, f"not a bundle: {type(error).__name__}") from error
    except ValueError as error:
        raise refused(path, str(error)) from error


def refused(path: str, message: str) -> PolicyError:
    """A bundle that cannot be used."""
    return PolicyError([Diagnostic(Span(path, 1, 1), RegoCode.NOT_A_PLAN, message)])


def _unpack(content: bytes, wanted: Callable[[str], bool]) -> dict[str, bytes]:
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
            if not member.isreg() or not wanted(name):
                continue
            file = archive.extractfile(member)
            if name in files or file is None:
                raise ValueError(f"the bundle has {name!r} twice")
            files[name] = file.read()
    return files
