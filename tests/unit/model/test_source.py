from extauthz.model.source import Diagnostic, Severity, Span


def test_a_diagnostic_reads_as_a_compilers():
    """Place, code, message, the line with a caret below the column, the hint."""
    diagnostic = Diagnostic(
        Span("shop.yaml", 3, 5),
        "EAZ101",
        "unknown key 'roel'",
        source_line="  - {roel: a}",
        hint="did you mean 'role'?",
    )
    assert diagnostic.render().splitlines() == [
        "shop.yaml:3:5: EAZ101 unknown key 'roel'",
        "    - {roel: a}",
        "      ^",
        "  hint: did you mean 'role'?",
    ]


def test_a_warning_says_so():
    """Its line differs from an error's by one word."""
    warning = Diagnostic(Span("a.yaml", 1, 1), "EAZ900", "audience is any", Severity.WARNING)
    assert warning.render() == "a.yaml:1:1: EAZ900 warning: audience is any"


def test_diagnostics_sort_by_place():
    """File, line and column as numbers, then code."""
    places = [("b.yaml", 1, 1), ("a.yaml", 10, 1), ("a.yaml", 9, 2), ("a.yaml", 9, 1)]
    ordered = sorted(Diagnostic(Span(*place), "EAZ1", "m") for place in places)
    assert [str(d.span) for d in ordered] == ["a.yaml:9:1", "a.yaml:9:2", "a.yaml:10:1", "b.yaml:1:1"]
