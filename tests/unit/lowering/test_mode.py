import subprocess
import sys

from extauthz.lowering.mode import Mode


def test_the_modes_are_words_of_the_command_line():
    """As they are typed."""
    assert [str(mode) for mode in Mode] == ["check", "native", "wasm", "split"]


def test_naming_a_mode_loads_nothing_else():
    """Every command waits for what this file imports."""
    code = (
        "import sys, extauthz.lowering.mode; print('google.protobuf' in sys.modules, 'cel_expr_python' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.split() == ["False", "False"]
