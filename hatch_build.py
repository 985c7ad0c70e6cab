"""The build hook of a compiled wheel: mypyc turns what every request passes through into a C extension.

Off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 (hatchling's own switch), so the wheel is pure Python by default. The
sources go into the compiled wheel as well, and the checkout is left as it is: compiled modules beside the sources
would hide later edits.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = (
    "authorizer.py",
    "authn/authenticator.py",
    "authn/cache.py",
    "authn/credential.py",
    "check/answer.py",
    "check/request.py",
    "check/response.py",
    "model/access.py",
    "model/decision.py",
    "pdp/canonical.py",
    "pdp/combine.py",
    "pdp/evaluate.py",
    "pdp/roles.py",
    "pdp/routes.py",
    "pdp/upstream.py",
    "server/admission.py",
    "server/asgi.py",
    "server/grpc_wire.py",
    "telemetry/tally.py",
)
"""Of the package `extauthz`: the rooms of the hot path, which are pure Python and typed throughout."""

_SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

setup(name="extauthz", ext_modules=mypycify({arguments!r}, opt_level="3"))
"""


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles in a temporary folder and adds what comes of it to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is written.

        Raises:
            RuntimeError: the compiler failed; with what it printed.
        """
        if self.target_name != "wheel" or version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="extauthz-compiled-")
        folder = Path(self._folder.name)
        shutil.copytree(Path(self.root) / "extauthz", folder / "extauthz")
        # Types of other packages may be missing where this builds; what is of them is then checked as it runs.
        options = ["--ignore-missing-imports", "--follow-imports=silent", "--explicit-package-bases", "--config-file="]
        arguments = [*options, *(f"extauthz/{name}" for name in COMPILED)]
        (folder / "setup.py").write_text(_SETUP.format(arguments=arguments))
        built = subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            raise RuntimeError(f"the hot path could not be compiled:\n{built.stdout}")
        for module in [*folder.glob("*.so"), *folder.glob("extauthz/**/*.so")]:
            build_data["force_include"][str(module)] = str(module.relative_to(folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Called when the wheel is written."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
