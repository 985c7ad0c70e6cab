"""A line of progress, for people."""

from __future__ import annotations

import sys


def tell(progress: str) -> None:
    """Overwrite it; nothing where nobody looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)
