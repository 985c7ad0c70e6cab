import subprocess
import sys

from extauthz.authoring.covered import Kind


def test_naming_the_kinds_loads_nothing_else():
    """`--help` names them, and is quick because it loads no policy language."""
    code = "import sys, extauthz.authoring.covered; print(any(m.startswith('extauthz.languages') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    assert [str(kind) for kind in Kind] == ["route", "rule", "role", "binding", "condition", "rego"]
