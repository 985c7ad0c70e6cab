import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from extauthz.sources import rego_child
from extauthz.sources.rego_child import OUT_OF_MEMORY, temporary_folder


def request(text, **options):
    limits = {"memory": 1 << 30, "seconds": 10, **options}
    return {"modules": [["m.rego", text]], "query": None, "entry_points": ["a/r"], **limits}


def run(message: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", rego_child.__file__]
    return subprocess.run(command, input=json.dumps(message).encode(), capture_output=True, check=False)


@pytest.mark.parametrize(
    ("literal", "want"),
    [(r'"\"quoted\""', '"quoted"'), (r'"a\nb"', "a\nb"), ("`raw\\d`", "raw\\d"), ('"\u00e9"', "\u00e9"), ('""', "")],
)
def test_strings_are_what_they_mean(literal, want):
    """The compiler leaves them as written, some in quotes; here they are read."""
    for text in (f"package a\nr := {literal}", f"package a\nr if input.x == {literal}"):
        plan = json.loads(run(request(text)).stdout)["plan"]
        assert want in [string["value"] for string in plan["static"]["strings"]]


def test_the_memory_of_the_service_does_not_count_against_the_compiler():
    """A service that holds more than the compiler may take can still load Rego."""
    ballast = b"x" * (400 << 20)
    answered = json.loads(run(request("package a\nr := 1", memory=300 << 20)).stdout)
    assert "plan" in answered
    assert len(ballast) > 300 << 20


def test_the_process_speaks_json_alone():
    """Whatever the compiler prints goes elsewhere; what it refuses is told."""
    assert set(json.loads(run(request("package a\nr := {")).stdout)) == {"error"}
    assert json.loads(run(request("package a\nr := 1")).stdout)["plan"]["compiler"] == "regopy"


def test_memory_is_watched():
    """A process beyond its limit ends with a status of its own."""
    text = "package a\n" + "\n".join(f'r if input.x{i} == "{i}"' for i in range(3_000))
    assert run(request(text, memory=1 << 20)).returncode == OUT_OF_MEMORY


def test_a_machine_without_a_disk_to_write_to_compiles(monkeypatch):
    """As a container whose root is read-only, and which has no folder for what is temporary."""

    def nowhere():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with temporary_folder() as folder:
        assert folder.startswith("/dev/shm/")
        (Path(folder) / "file").write_text("x")
    assert not Path(folder).exists()


def test_a_compiler_that_cannot_be_loaded_is_told(monkeypatch):
    """It is no fault of the modules: a library of the system may be missing."""
    monkeypatch.setitem(sys.modules, "regopy", None)
    assert "cannot be loaded" in rego_child.answer(request("package a\n"))["error"]
