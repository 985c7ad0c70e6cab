import pytest

from extauthz.authoring.pages import ADVICE, ALL_CODES, HEAD, find, is_warning, kind_of
from extauthz.languages.policy_yaml.codes import Code
from tests.policies import warnings

KEYS = {"keys.yaml": "- {sha256: " + "a" * 64 + ", subject: robot, scopes: [read, write]}\n"}


def found_in(text: str, *, with_lint: bool) -> set[str]:
    """The codes that a text gets."""
    whole = text if "providers:" in text else HEAD + text
    whole = whole if whole.startswith("version") else "version: 1\n" + whole
    return set(warnings(whole, KEYS, with_lint=with_lint))


@pytest.mark.parametrize("code", ADVICE, ids=str)
def test_examples_show_what_they_say(code):
    """The one gets the warning and no other; what is advised gets none."""
    with_lint = "--lint" in code.meaning
    assert found_in(ADVICE[code].wrong, with_lint=with_lint) == {code.value}
    assert found_in(ADVICE[code].right, with_lint=with_lint) == set()


def test_every_warning_has_advice():
    """What may be served but is unwise is explained; errors explain themselves at their place."""
    assert set(ADVICE) == {code for code in Code if is_warning(code)}
    assert all(len(line) <= 120 for advice in ADVICE.values() for line in advice.why.splitlines())


def test_every_code_is_about_something():
    """By its hundred."""
    assert all(kind_of(code) for code in ALL_CODES)
    assert kind_of(Code.CEL) == "conditions"


@pytest.mark.parametrize("text", ["EAZ902", "eaz902", "902"])
def test_codes_are_found_as_people_write_them(text):
    """Case and prefix do not matter."""
    assert find(text) is Code.UNGUARDED_DENY
    assert find("EAZ000") is None
    assert find("") is None
