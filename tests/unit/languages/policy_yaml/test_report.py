from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Document, Scalar
from extauthz.languages.policy_yaml.report import Report, closest, did_you_mean, listed, quoted
from extauthz.model.source import Severity, Span


def node(line: int, column: int, text: str = "a\tb\nc: d\n") -> Scalar:
    return Scalar(Document("p.yaml", text), line, column, "x", "x")


def test_findings_are_sorted_and_each_reported_once():
    """By file, line and column, in whatever order they were found."""
    report = Report()
    report.error(Code.CEL, node(2, 4), "second")
    report.error(Code.TAG, node(1, 1), "first")
    report.error(Code.TAG, node(1, 1), "first")
    assert [finding.message for finding in report.diagnostics([])] == ["first", "second"]
    assert report.has_errors


def test_a_warning_is_no_error():
    """A set with nothing but warnings is served."""
    report = Report()
    report.warning(Code.AUDIENCES_ANY, node(1, 1), "look again")
    assert not report.has_errors
    assert [finding.severity for finding in report.diagnostics([])] == [Severity.WARNING]


def test_source_lines_keep_their_columns():
    """A tab takes one column, so that the caret stands where it should; an endless line is not shown."""
    report = Report()
    report.know(Document("p.yaml", "a\tb\n" + "x" * 1000))
    report.error(Code.CEL, Span("p.yaml", 1, 3), "here")
    report.error(Code.CEL, Span("p.yaml", 2, 3), "there")
    assert [finding.source_line for finding in report.diagnostics([])] == ["a b", ""]


def test_paths_come_from_the_roots():
    """The YAML path of the node that a finding is about."""
    report = Report()
    place = node(1, 1)
    report.error(Code.CEL, place, "here", at=Span("p.yaml", 9, 9))
    (finding,) = report.diagnostics([place])
    assert (finding.path, finding.span.line) == ("", 9)


def test_quoted_text_cannot_drive_a_terminal():
    """Control and direction characters are shown as escapes, long text is cut."""
    assert quoted("a\x1b[31m\u202e\n") == "'a\\x1b[31m\\u202e\\n'"
    assert len(quoted("a" * 1000)) < 100


def test_lists_read_as_sentences():
    """One, two, three."""
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["'a'", "'a' or 'b'", "'a', 'b' or 'c'"]
    assert listed("ab", "and") == "'a' and 'b'"


def test_hints_name_the_nearest_word_or_the_few_there_are():
    """Nothing far-fetched, nothing endless."""
    assert closest("admn", ["admin", "reader"]) == "did you mean 'admin'?"
    assert closest("zzz", ["admin", "reader"]) == ""
    assert did_you_mean("zzz", ["b", "a"]) == "known here: a, b"
    assert did_you_mean("zzz", []) == ""
    assert did_you_mean("zzz", [f"role-{n}" for n in range(100)]) == ""


def test_messages_of_others_cannot_drive_a_terminal_either():
    """A CEL compiler quotes what it does not understand."""
    report = Report()
    report.error(Code.CEL, node(1, 1), "token '\x1b[2J'", "write\nthis")
    (finding,) = report.diagnostics([])
    assert (finding.message, finding.hint) == ("token '\\x1b[2J'", "write\\nthis")


def test_hints_are_not_worth_minutes():
    """A report with very many mistakes goes on without suggestions."""
    report = Report()
    known = [f"role-{number}" for number in range(10_000)]
    assert report.closest("role-x", known) != ""
    for _ in range(5):
        report.closest("role-x", known)
    assert report.closest("role-x", known) == ""
    assert report.suggest("role-x", ["role-y"]) == "known here: role-y"


def test_an_unknown_name_is_reported_with_what_it_resembles():
    """One message for roles, providers and the like."""
    report = Report()
    report.unknown(Code.UNKNOWN_ROLE, node(1, 1), "role", ["y", "xx"])
    (finding,) = report.diagnostics([])
    assert (finding.message, finding.hint) == ("there is no role 'x'", "did you mean 'xx'?")
