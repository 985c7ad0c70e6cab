"""The files that a policy names. All reading goes through the caller's `read_file`; nothing else here does I/O."""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Callable, Iterable

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted


class Files:
    """Reads each named file once and remembers what was read."""

    def __init__(self, read_file: Callable[[str], bytes], report: Report) -> None:
        self._read_file = read_file
        self._report = report
        self.contents: dict[str, bytes] = {}

    def read(self, name: Scalar) -> bytes | None:
        """The content of a file; None after reporting."""
        path = joined_path(name)
        known = self.contents.get(path)
        if known is not None:
            return known
        try:
            content = self._read_file(path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._report.error(Code.FILE_UNREADABLE, name, f"cannot read {quoted(path)}: {why}")
            return None
        self.contents[path] = content
        return content


def joined_path(name: Scalar) -> str:
    """A file's path as the user would write it: relative to the folder of the file that names it."""
    return os.path.join(os.path.dirname(name.document.path), name.text)  # noqa: PTH118, PTH120 - text, not a file


def digest(contents: Iterable[tuple[str, bytes]]) -> str:
    """Twelve hexadecimal digits of the SHA-256 of all contents, in the order of their paths.

    Lengths are part of it, so that text moved from one file into another is a change.
    """
    sha256 = hashlib.sha256()
    for _, content in sorted(contents):
        sha256.update(len(content).to_bytes(8, "big"))
        sha256.update(content)
    return sha256.hexdigest()[:12]
