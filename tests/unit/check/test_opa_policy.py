import pytest

from extauthz.check.opa_policy import (
    DECISION,
    Expression,
    OpaPolicy,
    OpaQuery,
    Question,
    entry_points,
    path_steps,
    query_module,
    query_steps,
    reference,
)
from extauthz.languages.rego import UNDEFINED, Limits, Module
from extauthz.sources.rego_planner import plan_with_regopy

POLICY = """package shop["the api"]

allow := {"allowed": true, "who": input.user}

never := false

list := ["zero", "one"]
"""


def ask(path, document=None, data=None):
    questions: dict[str, Question] = {DECISION: path, "other": ("nobody", "defines", "this")}
    plan = plan_with_regopy([Module("p.rego", POLICY), query_module(questions)], entry_points(questions))
    asked = dict(zip(questions, entry_points(questions), strict=True))
    policy = OpaPolicy(plan, data or {}, asked, "r1")
    query = OpaQuery(policy.compiled(), policy.entry_points[DECISION])
    value = query.evaluate(document or {}, now_ns=0, strict=False, limits=Limits(), clock=lambda: 0.0)
    return value, query.reads


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("shop", "the api", "allow", "allowed"), True),
        (("shop", "the api", "never"), False),
        (("shop", "the api", "list", 1), "one"),
        (("shop", "the api", "list", 2), UNDEFINED),
        (("shop", "the api", "missing"), UNDEFINED),
        (("nowhere", "if", '"'), UNDEFINED),
        (("stored", "flag"), True),
        (("stored", "0"), "text"),
    ],
)
def test_any_document_can_be_the_decision(path, expected):
    """A rule, a member of one, data beside the policy; what nobody defines is undefined."""
    assert ask(path, {"user": "ann"}, {"stored": {"flag": True, "0": "text"}})[0] == expected


def test_a_whole_package():
    """An object of its rules; an undefined one is left out."""
    assert ask(("shop", "the api"))[0] == {"list": ["zero", "one"], "never": False}
    assert ask(("shop", "the api"), {"user": "ann"})[0]["allow"]["who"] == "ann"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('data.shop["the api"].never == true', False),
        ("data.one[0] > 5", False),
        ("count(data.one) >= 1", True),
        ("data.nothing == 1", UNDEFINED),
    ],
)
def test_expressions(text, expected):
    """Their value is the decision, false as well."""
    assert ask(Expression(text), data={"one": [3]})[0] is expected


def test_what_is_read():
    """Through our own module as well."""
    assert ask(("shop", "the api", "allow"))[1] == {("user",)}
    assert ask(("shop", "the api", "list"))[1] == frozenset()


def test_references():
    """What is no plain name is quoted."""
    assert reference(("a", "b_1", "my rule", "if", 0, '"')) == 'data.a.b_1["my rule"]["if"][0]["\\""]'
    assert reference(()) == "data"


def test_paths_and_queries():
    """A path splits at slashes, numbers are positions; a query is a reference, or cannot be asked."""
    assert path_steps("//a/b.c/-1/2/") == ("a", "b.c", -1, 2)
    assert query_steps(' data.a["b c"][3].d ') == ("a", "b c", 3, "d")
    assert query_steps("data") == ()
    assert [query_steps(text) for text in ("input.a", "data.a == 1", "data.a; data.b", 'data["a\\"b"]')] == [None] * 4
