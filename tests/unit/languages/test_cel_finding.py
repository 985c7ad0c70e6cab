import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.cel import CelCompiler
from extauthz.languages.cel_finding import CelError, CelFinding, did_you_mean, findings_of
from tests.strategies import SPAN

COMPILER = CelCompiler()
COMPILER.define_variable("busy", "true")


def findings(text):
    with pytest.raises(CelError) as caught:
        COMPILER.compile(text, SPAN)
    return caught.value.findings


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ("request.metod == 'a'", 1, 1, "unknown name 'request.metod'", "did you mean 'request.method'?"),
        ("true && claim.sub == 'x'", 1, 9, "unknown name 'claim.sub'", "did you mean 'claims.sub'?"),
        ("variables.bussy", 1, 1, "unknown name 'variables.bussy'", "did you mean 'variables.busy'?"),
        ("source == 'x'", 1, 1, "unknown name 'source'", "there are source.address, source.port"),
        ("user == 'x'", 1, 1, "unknown name 'user'", ""),
        ("true &&\n  user.name == 'x'", 2, 3, "unknown name 'user.name'", ""),
        ("'a'.startswith('b')", 1, 5, "unknown function 'startswith'", "did you mean 'startsWith'?"),
        ("foo(1)", 1, 1, "unknown function 'foo'", ""),
        ("size(1, 2) == 1", 1, 1, "no 'size' takes these arguments", ""),
        ("request.method == 1", 1, 16, "'==' does not take (string, int)", ""),
        ("1 in claims", 1, 3, "'in' does not take (int, map(string, dyn))", ""),
        ("has(claims['a'])", 1, 11, "has() takes a field, as in has(claims.name)", "or write 'name' in claims"),
        ("claims.a = 1", 1, 10, "syntax error: token recognition error at: '= '", "write '=='"),
        ("true and true", 1, 6, "syntax error: mismatched input 'and'", "write '&&'"),
        ("claims.null == 1", 1, 8, "'null' is a keyword", "write ['null'] for .null"),
        ("", 1, 1, "the expression ends too early", ""),
        ("true &&\n", 2, 1, "the expression ends too early", ""),
        ("(" * 40 + "true" + ")" * 40, 1, 1, "nested too deeply", "name parts of it in `variables`"),
        ("x" * 100_001, 1, 1, "longer than 100,000 characters", ""),
    ],
)
def test_a_fault_is_told_where_it_is_and_how_to_mend_it(text, line, column, message, hint):
    """In our words, at the beginning of the name, with a remedy where one is near."""
    assert findings(text) == (CelFinding(line, column, message, hint),)


def test_all_faults_are_told_at_once_in_order():
    """An author mends them in one go; what is said twice is said once."""
    assert [f.message for f in findings("foo.a == 1 && bar.b == 2 && request.method == 3")] == [
        "unknown name 'foo.a'",
        "unknown name 'bar.b'",
        "'==' does not take (string, int)",
    ]


def test_only_the_first_syntax_error_is_told():
    """The rest is the parser finding its way back."""
    assert len(findings("a ==== b )) ((")) == 1


def test_a_message_in_another_form_is_passed_on():
    """A new version of the library may say things that we do not know."""
    assert findings_of("something new", "true", ()) == [CelFinding(1, 1, "not a CEL expression: something new")]
    unknown = "INVALID_ARGUMENT: ERROR: <input>:1:2: something new (in container '')"
    assert findings_of(unknown, "true", ())[0][:2] == (1, 2)


def test_the_error_reads_as_its_findings():
    """For those who print it as it is."""
    assert str(CelError([CelFinding(2, 1, "b"), CelFinding(1, 5, "a"), CelFinding(1, 5, "a")])) == "1:5: a; 2:1: b"


def test_far_words_are_not_suggested():
    """A wrong suggestion is worse than none."""
    assert did_you_mean("zebra", ["claims", "path"]) == ""


@given(st.integers(-1, 5), st.integers(-1, 50), st.text(), st.text())
def test_any_position_and_message_makes_a_finding(line, column, message, text):
    """Nothing that the library may say breaks the report."""
    found = findings_of(f"ERROR: <input>:{line}:{column}: {message}", text, ("claims", "request.method"))
    assert all(f.line >= 1 and f.column >= 1 for f in found)
    assert found
