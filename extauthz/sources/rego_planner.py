"""Compilers of Rego modules to plans: `regopy`, which is part of the installation, and OPA itself where it is at hand.

Both run in a process of their own, with limits on time and memory and without our environment. What they do not find
wrong is checked on the plan (`extauthz.languages.rego.verify`).
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from extauthz.errors import EnvironmentUnfitError, PolicyError
from extauthz.languages.rego.bundle import read_bundle
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.modules import Module
from extauthz.languages.rego.regopy_source import doubts
from extauthz.model.source import Diagnostic, Span
from extauthz.sources.rego_child import OUT_OF_MEMORY, temporary_folder

MAX_MEMORY_BYTES = 2 * 1024**3
"""Of a compiler."""

MAX_SECONDS = 60
"""Time of a compiler; a thousand rules take about one."""

_CHILD = Path(__file__).with_name("rego_child.py")


# --- regopy --------------------------------------------------------------------------------------------------------


def plan_with_regopy(modules: Sequence[Module], entry_points: Sequence[str], *, query: str | None = None) -> object:
    """The plan of modules, compiled by `regopy`.

    Raises:
        PolicyError: the modules cannot be compiled.
    """
    doubtful = list(doubts(modules))
    if doubtful:
        raise PolicyError(doubtful)
    # Plans name files without their folders: numbers tell modules apart.
    names = {f"{number}.rego": module for number, module in enumerate(modules)}
    request = {
        "modules": [[name, module.text] for name, module in names.items()],
        "query": query,
        "entry_points": list(entry_points),
        "memory": MAX_MEMORY_BYTES,
        "seconds": MAX_SECONDS,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_CHILD)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=MAX_SECONDS,
            env={"LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _takes_too_long(modules) from None
    if done.returncode == -signal.SIGXCPU:
        raise _takes_too_long(modules)
    if done.returncode == OUT_OF_MEMORY:
        raise _not_planned(modules, f"compiling takes more than {MAX_MEMORY_BYTES // 1024**2} MiB of memory")
    if done.returncode != 0:
        raise _not_planned(modules, "the compiler failed: there is an expression that it cannot read")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise PolicyError(_regopy_diagnostics(answer["error"], names))
    return _with_paths(answer["plan"], names)


def _takes_too_long(modules: Sequence[Module]) -> PolicyError:
    return _not_planned(modules, f"compiling takes more than {MAX_SECONDS} s")


def _not_planned(modules: Sequence[Module], message: str) -> PolicyError:
    place = Span(modules[0].path if modules else "<rego>", 1, 1)
    return PolicyError([Diagnostic(place, RegoCode.NOT_PLANNED, message)])


_REGOPY_ERROR = re.compile(
    r"\(error (?:\d+:(?P<file>[^|\n]*)\|(?P<offset>\d+)\|\d+)?[^(]*\(errormsg \d+:(?P<message>.*?)\)\s*\(errorast"
    r"(?: (?:\d+:(?P<ast_file>[^|\n]*))?\|(?P<ast_offset>\d+)\|\d+)?",
    re.DOTALL,
)


def _regopy_diagnostics(text: str, names: Mapping[str, Module]) -> list[Diagnostic]:
    """What `regopy` says, which is a tree in parentheses, as diagnostics."""
    only = next(iter(names.values())) if len(names) == 1 else None
    found: list[Diagnostic] = []
    for match in _REGOPY_ERROR.finditer(text):
        module = names.get(match["file"] or match["ast_file"] or "", only)
        offset = int(match["offset"] or match["ast_offset"] or 0)
        place = module.span(_characters(module.text, offset)) if module else Span("<rego>", 1, 1)
        found.append(Diagnostic(place, RegoCode.SYNTAX, _one_line(match["message"])))
    return found or [Diagnostic(Span("<rego>", 1, 1), RegoCode.NOT_PLANNED, _one_line(text))]


def _characters(text: str, offset: int) -> int:
    """How many characters the first bytes of a text are."""
    return len(text.encode()[:offset].decode(errors="ignore"))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]


# --- Whichever is there --------------------------------------------------------------------------------------------


def plan_with_default(modules: Sequence[Module], entry_points: Sequence[str]) -> object:
    """The plan of modules, compiled by OPA where there is one on the PATH, else by `regopy`.

    Raises:
        PolicyError: the modules cannot be compiled.
    """
    planner = opa_planner() if shutil.which("opa") else plan_with_regopy
    return planner(modules, entry_points)


# --- OPA -----------------------------------------------------------------------------------------------------------


def opa_planner(binary: str | None = None) -> Callable[[Sequence[Module], Sequence[str]], object]:
    """A planner that runs `opa build -t plan`.

    Args:
        binary: the program; without one `opa` is looked for on the PATH.

    Raises:
        EnvironmentUnfitError: there is no such program.
    """
    found = shutil.which(binary or "opa")
    if found is None:
        raise EnvironmentUnfitError(f"{binary or 'opa'}: no such program: install OPA, or put it on the PATH")

    def plan(modules: Sequence[Module], entry_points: Sequence[str]) -> object:
        return _plan_with_opa(found, modules, entry_points)

    return plan


def _plan_with_opa(binary: str, modules: Sequence[Module], entry_points: Sequence[str]) -> object:
    with temporary_folder() as folder:
        names = {f"{number}.rego": module for number, module in enumerate(modules)}
        for name, module in names.items():
            (Path(folder) / name).write_text(module.text, encoding="utf-8")
        command = [binary, "build", "--target", "plan", "--output", "bundle.tar.gz"]
        for entry_point in entry_points:
            command += ["--entrypoint", entry_point]
        try:
            done = subprocess.run(
                [*command, *names],
                cwd=folder,
                capture_output=True,
                timeout=MAX_SECONDS,
                env={"HOME": folder},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _not_planned(modules, f"opa build takes more than {MAX_SECONDS} s") from None
        except OSError as error:
            raise EnvironmentUnfitError(f"{binary} cannot be run: {error.strerror}") from error
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise PolicyError(_opa_diagnostics(said, names))
        bundle = read_bundle("bundle.tar.gz", (Path(folder) / "bundle.tar.gz").read_bytes())
    return _with_paths(bundle.plan, names)


def _with_paths(plan: object, names: Mapping[str, Module]) -> object:
    """The plan with the modules' own paths for the names they were compiled under."""
    if isinstance(plan, dict):
        for file in plan.get("static", {}).get("files") or []:
            module = names.get(str(file.get("value", "")).lstrip("/"))
            if module is not None:
                file["value"] = module.path
    return plan


_OPA_ERROR = re.compile(
    r"^(?:.*errors? occurred[^:]*: )?(?P<file>\d+\.rego):(?P<line>\d+): (?P<message>.*)$", re.MULTILINE
)


def _opa_diagnostics(text: str, names: dict[str, Module]) -> list[Diagnostic]:
    found = [
        Diagnostic(Span(names[m["file"]].path, int(m["line"]), 1), RegoCode.NOT_PLANNED, _one_line(m["message"]))
        for m in _OPA_ERROR.finditer(text)
        if m["file"] in names
    ]
    return found or [Diagnostic(Span("<rego>", 1, 1), RegoCode.NOT_PLANNED, _one_line(text))]
