import re

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.rego.codes import RegoCode


def test_codes_are_nobody_elses():
    """No code of the other language is used twice, and each has a meaning."""
    assert not {str(code) for code in RegoCode} & {str(code) for code in Code}
    for code in RegoCode:
        assert re.fullmatch(r"EAZ8[5-9]\d", code)
        assert code.meaning
