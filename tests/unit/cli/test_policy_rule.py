import json

from extauthz.cli import EXIT_WRONG_INPUT, run
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.rego.codes import RegoCode


def test_page_of_a_warning(capsys):
    """What it means, why, and both forms."""
    assert run(["policy", "rule", "EAZ902"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("EAZ902: a deny that denies whoever lacks what it reads\na warning: the set may be served;")
    assert "\nnot:\n\n    deny:\n      - {name: suspended, when: claims.suspended == true}\n" in out
    assert "\nbut:\n\n    deny:\n      - {name: suspended, when: has(claims.suspended) &&" in out


def test_page_of_an_error(capsys):
    """Its place and hint say the rest."""
    assert run(["policy", "rule", "801"]) == 0
    assert capsys.readouterr().out == (
        "EAZ801: a CEL condition that does not compile\nan error: the set is not served; it is about conditions\n"
    )


def test_page_of_a_rego_error(capsys):
    """The codes of both languages are in one table."""
    assert run(["policy", "rule", "EAZ853"]) == 0
    assert capsys.readouterr().out == (
        "EAZ853: a built-in function that cannot be used here\n"
        "an error: the set is not served; it is about Rego modules and their data\n"
    )


def test_all_codes_are_listed(capsys):
    """One a line, and as JSON."""
    assert run(["policy", "rule"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(Code) + len(RegoCode)
    assert run(["policy", "rule", "902", "--format", "json"]) == 0
    (page,) = json.loads(capsys.readouterr().out)
    assert (page["code"], page["severity"]) == ("EAZ902", "warning")


def test_unknown_code_is_wrong_input(capsys):
    """One line, exit 3."""
    assert run(["policy", "rule", "EAZ000"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == "extauthz: there is no code 'EAZ000': `extauthz policy rule` lists them\n"
