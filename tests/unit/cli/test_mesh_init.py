from __future__ import annotations

from pathlib import Path

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run

RULES = Path(__file__).parents[1] / "mesh" / "rules_of_istio_iptables"
INJECTED = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x '' -b * -d 15090,15021,15020"


@pytest.mark.parametrize("flags", [INJECTED.replace("''", "").replace("-x  ", "").split(), []])
def test_a_dry_run_prints_the_rules(capsys, flags):
    """With an injector's flags or with none: what is not given is what an injector would give."""
    assert run(["mesh", "init", *flags, "-x", "", "--dry-run"]) == 0
    assert capsys.readouterr().out == (RULES / "redirect.rules").read_text()


def test_a_dry_run_prints_one_address_family(capsys):
    """One document for one iptables-restore; it says that there is another."""
    assert run(["mesh", "init", "--family", "both", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert "::1/128" not in captured.out
    assert "--family 6" in captured.err
    assert run(["mesh", "init", "--family", "6", "--dry-run"]) == 0
    assert "::1/128" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-p", "0"], "-p: '0' is no port"),
        (["-z", "x"], "-z: 'x' is no port"),
        (["-m", "NONE"], "-m: unknown mode 'NONE'"),
        (["-i", "10.0.0.0"], "-i: '10.0.0.0' is no range"),
        (["-x", "*"], "-x: '*' would leave everything uncaptured"),
        (["-b", "80,"], "-b: '' is no port"),
        (["-d", "*"], "-d: '*' has no meaning here"),
        (["-o", "*"], "-o: '*' has no meaning here"),
        (["-q", "65536"], "-q: '65536' is no port"),
        (["-u", "root"], "-u: 'root' is no numeric id"),
        (["-g", "-2"], "-g: '-2' is no numeric id"),
        (["-k", "a b"], "-k: 'a b' is no name"),
        (["-c", "eth+"], "-c: 'eth+' is no name"),
        (["--capture-all-dns"], "give both"),
        (["--cleanup-only"], "--dry-run only prints"),
        (["--run-validation"], "--dry-run only prints"),
        (["--family", "5"], "Invalid value for '--family'"),
        (["--no-such-flag"], "No such option"),
    ],
)
def test_bad_flags_are_one_line(capsys, flags, said):
    """What is wrong, and nothing printed or done."""
    assert run(["mesh", "init", "--dry-run", *flags]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("flags", [["--cleanup-only", "--run-validation"], ["--skip-rule-apply"]])
def test_contradictions_are_refused(capsys, flags):
    """A command that would do nothing is not what was meant."""
    assert run(["mesh", "init", *flags]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.startswith("extauthz: --")
