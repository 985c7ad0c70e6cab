"""What a run must have: `EXTAUTHZ_REQUIRE=envoy,opa,...` names the tools without which a test fails.

Without any other tool a test is skipped, and says why. Nothing else reads that variable.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

_VARIABLE = "EXTAUTHZ_REQUIRE"
_NO_OPA = "no `opa` on the PATH: go install github.com/open-policy-agent/opa@v1.22.2"


def is_required(name: str) -> bool:
    """Whether the run promises this tool."""
    return name in {listed.strip() for listed in os.environ.get(_VARIABLE, "").split(",")}


def skip_unless_required(name: str, problem: str) -> NoReturn:
    """Skip the test, or fail it where the run promises the tool.

    Args:
        name: of the tool, as the run lists it.
        problem: why it cannot be used.
    """
    if is_required(name):
        pytest.fail(f"{_VARIABLE} names {name}: {problem}")
    pytest.skip(problem)


def opa_or_skip() -> str:
    """OPA's binary."""
    binary = shutil.which("opa")
    if binary is None:
        skip_unless_required("opa", _NO_OPA)
    return binary


needs_opa = pytest.mark.skipif(shutil.which("opa") is None and not is_required("opa"), reason=_NO_OPA)
"""For tests that ask for OPA by themselves: where it is promised and missing they run, and fail."""
