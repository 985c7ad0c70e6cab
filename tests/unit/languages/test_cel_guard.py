import time

import pytest

from extauthz.languages.cel import CelCompiler
from extauthz.languages.cel_guard import presence_text, quoted, split_alternatives, value_text
from tests.strategies import SPAN

COMPILER = CelCompiler()
COMPILER.define_variable("flagged", "claims.flag == true")
COMPILER.define_variable("any_flag", "claims.flag == true || claims.mark == true")


def unguarded(text):
    return {".".join(path) for path in COMPILER.compile(text, SPAN).unguarded}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("claims.a == 1", {"claims.a"}),
        ("!(claims.a == 1)", {"claims.a"}),
        ("claims['https://x'] == 1", {"claims.https://x"}),
        ("claims.a.b == 1", {"claims.a.b"}),
        ("claims.a == 1 || request.method == 'GET'", {"claims.a"}),
        ("request.method == 'GET' && claims.a == 1", {"claims.a"}),
        ("has(claims.a) || claims.a == 1", {"claims.a"}),
        ("has(claims.b) && claims.a == 1", {"claims.a"}),
        ("has(claims.a.b) && claims.a.b == 1", {"claims.a"}),
        ("has(claims.a) && claims.a.b == 1", {"claims.a.b"}),
        ("has(claims.a) ? claims.b == 1 : claims.a == 1", {"claims.a", "claims.b"}),
        ("claims.a.exists(x, x == 1)", {"claims.a"}),
        ("[1].exists(x, claims.a == x)", {"claims.a"}),
        ("'x' in claims.roles", {"claims.roles"}),
        ("request.headers['x-a'] == '1'", {"request.headers.x-a"}),
        ("request.header_values['x-a'][0] == '1'", {"request.header_values.x-a"}),
        ("request.query.a == '1'", {"request.query.a"}),
        ("context_extensions.tier == 'gold'", {"context_extensions.tier"}),
        ("principal.subject == 'alice'", {"principal.subject"}),
        ("principal.provider == 'corp'", {"principal.provider"}),
        ("variables.flagged", {"claims.flag"}),
        ("size(claims.a) > claims.b", {"claims.a", "claims.b"}),
    ],
)
def test_a_read_that_nothing_guards_is_found(text, paths):
    """Its absence makes the whole condition an error on some request."""
    assert unguarded(text) == paths


@pytest.mark.parametrize(
    "text",
    [
        "request.method == 'GET'",
        "has(claims.a)",
        "has(claims.a) && claims.a == 1",
        "claims.a == 1 && has(claims.a)",
        "!has(claims.a) || claims.a == 1",
        "!(has(claims.a) && claims.a == 1)",
        "has(claims.a) ? claims.a == 1 : false",
        "!has(claims.a) ? true : claims.a == 1",
        "'a' in claims && claims.a == 1",
        "has(claims.a) && has(claims.a.b) && claims.a.b == 1",
        "has(claims.a) && claims.a.exists(x, x == 1)",
        "[1].exists(x, has(claims.a) && claims.a == x)",
        "has(claims.a) && 'b' in claims.a && claims.a.b == 1",
        "'x-a' in request.headers && request.headers['x-a'] == '1'",
        "has(request.query.a) && request.query.a == '1'",
        "principal.authenticated && principal.subject == 'alice'",
        "has(claims.flag) && variables.flagged",
        "path.id == 'x'",
        "body.amount == 1",
        "claims.exists(k, k == 'a')",
        "claims.a == 1 && false",
    ],
)
def test_a_guarded_read_is_not_found(text):
    """`has()` and `in` guard in either order, through every operator, inside and around loops."""
    assert unguarded(text) == set()


@pytest.mark.parametrize(
    ("text", "path", "form"),
    [
        ("claims.a == true", ("claims", "a"), "has(claims.a) && claims.a == true"),
        ("claims.a.b == 1", ("claims", "a", "b"), "has(claims.a) && has(claims.a.b) && claims.a.b == 1"),
        (
            "has(claims.a) && claims.a.b == 1",
            ("claims", "a", "b"),
            "has(claims.a.b) && has(claims.a) && claims.a.b == 1",
        ),
        ("claims['a b'] == 1", ("claims", "a b"), "'a b' in claims && claims['a b'] == 1"),
        ("claims.a['b-c'] == 1", ("claims", "a", "b-c"), "has(claims.a) && 'b-c' in claims.a && claims.a['b-c'] == 1"),
        (
            "claims.a == '||' || request.method == 'GET' || claims.b == 1",
            ("claims", "a"),
            "has(claims.a) && claims.a == '||' || request.method == 'GET' || claims.b == 1",
        ),
        ("(claims.a == 1 || claims.b == 1)", ("claims", "a"), "has(claims.a) && ((claims.a == 1 || claims.b == 1))"),
        ("claims.a ? true : false", ("claims", "a"), "has(claims.a) && (claims.a ? true : false)"),
        ("claims.a == 1 // why", ("claims", "a"), "has(claims.a) && (\nclaims.a == 1 // why\n)"),
        ("variables.any_flag", ("claims", "mark"), "has(claims.mark) && (variables.any_flag)"),
        (
            "request.headers['x-a'] == '1'",
            ("request.headers", "x-a"),
            "'x-a' in request.headers && request.headers['x-a'] == '1'",
        ),
        (
            "principal.subject == 'a'",
            ("principal.subject",),
            "principal.authenticated && principal.subject == 'a'",
        ),
    ],
)
def test_the_guarded_form_is_a_condition_without_that_gap(text, path, form):
    """It compiles, and the path is no longer among the unguarded."""
    condition = COMPILER.compile(text, SPAN)
    assert path in condition.unguarded
    assert condition.guarded_form(path) == form
    assert path not in COMPILER.compile(form, SPAN).unguarded


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a", ["a"]),
        ("a || b||c", ["a ", " b", "c"]),
        ("(a || b) || [c || d][0]", ["(a || b) ", " [c || d][0]"]),
        ("a == '||' || b", ["a == '||' ", " b"]),
        (r"a == '\'||' || b", [r"a == '\'||' ", " b"]),
        (r"a == r'\' || b", [r"a == r'\' ", " b"]),
        ("a == '''it's || x''' || b", ["a == '''it's || x''' ", " b"]),
        ("a.`x||y` || b", ["a.`x||y` ", " b"]),
        ("a ? b || c : d", []),
        ("(a ? b : c) || d", ["(a ? b : c) ", " d"]),
        ("a || b // || c", []),
    ],
)
def test_alternatives_are_split_where_they_are_outermost(text, pieces):
    """Not within strings, brackets or a choice."""
    assert split_alternatives(text) == pieces


@pytest.mark.parametrize("quotes", ["'''", '"""', "'", '"', "r'''"])
def test_texts_without_an_end_take_no_time(quotes):
    """An escape can be read in one way only, so there is nothing to try again."""
    began = time.process_time()
    split_alternatives(quotes + "\\\\" * 20_000)
    assert time.process_time() - began < 1


def test_paths_are_written_as_an_author_would():
    """Fields where they can be, quoted keys elsewhere."""
    assert value_text(("claims", "a", "b c")) == "claims.a['b c']"
    assert value_text(("request.headers", "x-a")) == "request.headers['x-a']"
    assert presence_text(("claims", "in")) == "'in' in claims"
    assert quoted("it's \\ a\nb") == "'it\\'s \\\\ a\\U0000000ab'"
