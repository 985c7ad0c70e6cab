"""Running the programs that change the kernel's tables: found, limited in time, their failures one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from extauthz.errors import EnvironmentUnfitError

TIMEOUT_SECONDS: Final = 60.0
_SBIN: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find_program(name: str) -> str | None:
    """Its path: as a shell would find it, or where system administration programs are."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN]))


def require_program(name: str, package: str) -> str:
    """Its path. Raises EnvironmentUnfitError if it is not installed."""
    path = find_program(name)
    if path is None:
        raise EnvironmentUnfitError(f"{name} was not found: install {package}; nothing was changed")
    return path


def run_program(command: Sequence[str], text: str | None = None) -> str:
    """Run a program with this standard input; returns what it printed.

    Raises:
        EnvironmentUnfitError: it failed, or took too long.
    """
    name = os.path.basename(command[0])  # noqa: PTH119 - a name for the message
    try:
        done = subprocess.run(
            command,
            input="" if text is None else text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentUnfitError(f"{name} took longer than {TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise EnvironmentUnfitError(f"{name} failed: {said}")
    return done.stdout
