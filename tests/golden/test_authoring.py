"""What the authoring commands print, word for word: `<case>/<name>.txt`, run in the case's folder.

EXTAUTHZ_REFRESH_GOLDEN=1 rewrites the expectations; the difference is to be read before it is committed.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from extauthz.cli import run

HERE = Path(__file__).parent
COMMANDS = {
    "policy-test/errors.txt": (3, "policy test set.yaml broken_test.yaml"),
    "policy-test/failures.txt": (2, "policy test set.yaml failing_test.yaml"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_prints_as_written_down(name, capsys, monkeypatch):
    """Output, places and exit code are exactly the golden file's; only durations vary."""
    code, arguments = COMMANDS[name]
    monkeypatch.chdir((HERE / name).parent)
    assert run(shlex.split(arguments)) == code
    captured = capsys.readouterr()
    text = re.sub(r" in \d+\.\d\d s$", " in N s", f"$ extauthz {arguments}\n{captured.out}{captured.err}", flags=re.M)
    if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") == "1":
        (HERE / name).write_text(text, encoding="utf-8")
    assert text == (HERE / name).read_text(encoding="utf-8")
