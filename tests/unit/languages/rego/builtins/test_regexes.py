import time

import pytest

from extauthz.languages.rego.failure import BuiltinError, RegoLimitError


def test_catastrophic_patterns_are_linear(call):
    """A pattern that makes backtracking matchers take ages."""
    started = time.perf_counter()
    assert not call("regex.match", "^(a+)+$", "a" * 50_000 + "b")
    assert not call("glob.match", "a*a*a*a*a*a*a*b", [], "a" * 20_000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("pattern", ["(", "a{1001}{1001}", "(?=x)", r"\1", "x" * 100_000])
def test_refused_patterns(call, pattern):
    """What is no RE2 pattern, or far too large a one, is an error."""
    assert not call("regex.is_valid", pattern)
    with pytest.raises(BuiltinError):
        call("regex.match", pattern, "x")


@pytest.mark.parametrize("pattern", ["[a", "{a", "[c-a]"])
def test_refused_globs(call, pattern):
    """A glob whose brackets do not close has no meaning."""
    with pytest.raises(BuiltinError):
        call("glob.match", pattern, [], "a")


def test_globs_do_not_leak_into_regular_expressions(call):
    """Characters that mean something to RE2 are only themselves in a glob."""
    assert call("glob.match", "a.(b)|c+$", ["/"], "a.(b)|c+$")
    assert not call("glob.match", "a.c", ["/"], "abc")
    assert call("glob.match", "[^a]", ["/"], "^")
    assert call("glob.match", r"\*", [], "*")


def test_text_that_is_no_unicode(call):
    """Bytes that are no UTF-8 match nothing: they are an error."""
    with pytest.raises(BuiltinError):
        call("regex.match", ".*", "\udc80")


def test_replacement_is_paid_for(call):
    """Expanding a reference many times over is stopped by the budget."""
    with pytest.raises(RegoLimitError):
        call("regex.replace", "a" * 5_000, "(a)", "$1" * 5_000, budget=100_000)


def test_replacement_references(call):
    """Names reach as far as they can; unknown groups are empty."""
    assert call("regex.replace", "ab", "(?P<x>a)(b)", "[$x$2][$xy][${x}y][$9][$$]") == "[ab][][ay][][$]"


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [("a*", "b*", True), ("a+", "b*", False), ("[a-c]x", "[c-e].", True), ("", "", True), ("ab", "a", False)],
)
def test_globs_in_common(call, one, other, want):
    """Whether some text is in both."""
    assert call("regex.globs_match", one, other) is want


@pytest.mark.parametrize("pattern", ["*a", "[a", "a]", "[-a]", "[b-a]"])
def test_globs_that_are_none(call, pattern):
    """A pattern of another form is an error."""
    with pytest.raises(BuiltinError):
        call("regex.globs_match", pattern, "a")
