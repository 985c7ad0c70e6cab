import re
from collections import Counter
from pathlib import Path

from extauthz.languages.policy_yaml.codes import Code

GOLDEN = Path(__file__).parents[3] / "golden"


def test_every_code_is_used_once_and_says_what_it_means():
    """A code has one meaning, in one line."""
    assert max(Counter(code.value for code in Code).values()) == 1
    assert max(Counter(code.meaning for code in Code).values()) == 1
    assert all(re.fullmatch(r"EAZ[1-9]\d\d", code.value) and "\n" not in code.meaning for code in Code)


def test_every_code_has_a_golden_case():
    """What can be reported is written down with its place, source line and hint."""
    texts = "".join(path.read_text(encoding="utf-8") for path in GOLDEN.glob("*/*.txt"))
    assert {code for code in Code if f" {code.value} " not in texts} == set()


def test_warnings_are_the_nine_hundreds():
    """The code alone says whether a set may be served."""
    texts = "".join(path.read_text(encoding="utf-8") for path in GOLDEN.glob("*/*.txt"))
    found = re.findall(r"^\S+:\d+:\d+: (EAZ\d)\d\d (warning: )?", texts, re.MULTILINE)
    assert all((hundred == "EAZ9") == bool(label) for hundred, label in found)
    assert found
