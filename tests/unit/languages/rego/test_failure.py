from extauthz.errors import ExtAuthzError
from extauthz.languages.rego.failure import BuiltinError, RegoEvaluationError, RegoLimitError


def test_what_callers_catch():
    """A limit is a failure of the evaluation; a built-in's error never leaves this room as such."""
    assert issubclass(RegoLimitError, RegoEvaluationError)
    assert issubclass(RegoEvaluationError, ExtAuthzError)
    assert not issubclass(BuiltinError, ExtAuthzError)
