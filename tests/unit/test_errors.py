import inspect

import pytest

from extauthz import errors
from extauthz.errors import AuthnError, DecidedError, ExtAuthzError, PolicyError, RequestError, UnavailableError
from extauthz.model.decision import Reason
from extauthz.model.source import Diagnostic, Span

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ExtAuthzError)]
DECIDED = [c for c in CLASSES if issubclass(c, DecidedError) and hasattr(c, "reason")]


@pytest.mark.parametrize("error", CLASSES)
def test_the_tree_is_drawn_whole(error):
    """The module's docstring names every class, and no other."""
    assert errors.__doc__ is not None
    assert error is DecidedError or error.__name__ in errors.__doc__


@pytest.mark.parametrize("error", DECIDED)
def test_an_answering_error_has_a_reason_of_its_own(error):
    """Two errors of one reason could not be told apart in a log."""
    assert [c for c in DECIDED if c.reason is error.reason] == [error]
    assert error.reason in Reason


@pytest.mark.parametrize("abstract", [DecidedError, AuthnError, RequestError, UnavailableError])
def test_an_error_without_a_reason_cannot_be_raised(abstract):
    """Only a class that says what the answer is can become one."""
    with pytest.raises(TypeError, match="is abstract"):
        abstract("no reason")


def test_a_policy_error_tells_every_finding_in_order():
    """Collected, sorted by place, each rendered."""
    late, early = (Diagnostic(Span("a.yaml", line, 1), "EAZ101", f"in line {line}") for line in (9, 2))
    error = PolicyError([late, early])
    assert error.diagnostics == (early, late)
    assert str(error).splitlines() == ["a.yaml:2:1: EAZ101 in line 2", "a.yaml:9:1: EAZ101 in line 9"]
