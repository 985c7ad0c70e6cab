from extauthz.errors import ExtAuthzError
from extauthz.languages.rego.failure import BuiltinError, RegoConflictError, RegoEvaluationError, RegoLimitError


def test_what_callers_catch():
    """A limit is a failure of the evaluation; a built-in's error never leaves this room as such."""
    assert issubclass(RegoLimitError, RegoEvaluationError)
    assert issubclass(RegoEvaluationError, ExtAuthzError)
    assert not issubclass(BuiltinError, ExtAuthzError)


def test_a_conflict_tells_its_place():
    """Both together, and each for who writes them in another way."""
    error = RegoConflictError("p.rego:3", "two values")
    assert isinstance(error, RegoEvaluationError)
    assert (str(error), error.place, error.problem) == ("p.rego:3: two values", "p.rego:3", "two values")
