"""OPA's bundles, made without OPA."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping


def archive(files: Mapping[str, object]) -> bytes:
    """A gzipped tar archive: bytes and texts as they are, all else as JSON."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else _text(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)
