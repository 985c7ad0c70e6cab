import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego import Module, load_modules
from extauthz.languages.rego.modules import parse_data, plan_document
from extauthz.sources.rego_planner import plan_with_regopy


def test_places_of_characters():
    """Lines and columns count from 1."""
    module = Module("a.rego", "package a\n\nx := 1\n")
    assert str(module.span(0)) == "a.rego:1:1"
    assert str(module.span(11)) == "a.rego:3:1"
    assert module.line(3) == "x := 1"
    assert module.line(9) == ""


def test_diagnostics_show_the_line():
    """What is wrong stands under the place where it is."""
    with pytest.raises(PolicyError) as caught:
        load_modules([Module("a.rego", "package a\n\nr if nope(1)\n")], {}, ["a/r"], plan_with_regopy)
    assert "a.rego:3:" in str(caught.value)
    assert "  r if nope(1)" in str(caught.value)
    assert "undefined function nope" in str(caught.value)


@pytest.mark.parametrize("path", ["a/none", "none", "a/rr", "data/a/r"])
def test_documents_that_nobody_defines(path):
    """Asking for one is an error when the policy is loaded, not an answer of undefined for ever."""
    module = Module("a.rego", "package a\n\nr := 1\n\np[x].y := 1 if some x in input\n")
    with pytest.raises(PolicyError, match=r"EAZ860 no module defines data\."):
        load_modules([module], {"none": 1}, ["a/r", path], plan_with_regopy)
    assert load_modules([module], {}, ["a", "a/r", "a/p"], plan_with_regopy).defines("a")


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_data_that_is_none(content):
    """A data document is a JSON object."""
    with pytest.raises(PolicyError, match=r"data\.json:1:1: EAZ859"):
        parse_data("data.json", content)
    assert parse_data("data.json", b'{"a": 1.50}') == {"a": 1.5}


def test_plans_that_are_no_json():
    """Refused with their name."""
    with pytest.raises(PolicyError, match=r"plan\.json"):
        plan_document("plan.json", b"{")
