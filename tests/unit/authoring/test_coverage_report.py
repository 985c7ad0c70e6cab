from extauthz.authoring.coverage import Item
from extauthz.authoring.coverage_report import by_line, lcov, marked_source
from extauthz.authoring.covered import Kind
from extauthz.model.decision import Outcome
from extauthz.model.source import Span

TEXT = "one\ntwo\nthree\nfour\n"


def items() -> list[Item]:
    whole = Item(Kind.ROUTE, "r", Span("p.yaml", 1, 1), ("reached",))
    half = Item(Kind.RULE, "a", Span("p.yaml", 2, 3), ("satisfied", "unsatisfied"))
    beside = Item(Kind.CONDITION, "c", Span("p.yaml", 2, 9), ("true", "false"))
    never = Item(Kind.RULE, "b", Span("q.yaml", 3, 1), ("satisfied", "unsatisfied"))
    whole.count()
    whole.count()
    half.count(Outcome.UNSATISFIED)
    beside.count(Outcome.SATISFIED)
    beside.count(Outcome.UNSATISFIED)
    return [whole, half, beside, never, Item(Kind.ROLE, "role", None, ("held",))]


def test_items_are_found_by_file_and_line():
    """What has no place stands in no file."""
    places = by_line(items())
    assert {path: sorted(lines) for path, lines in places.items()} == {"p.yaml": [1, 2], "q.yaml": [3]}
    assert [item.name for item in places["p.yaml"][2]] == ["a", "c"]


def test_source_is_marked():
    """All, some or none of the outcomes of a line were seen, or there is nothing to see."""
    assert list(marked_source(TEXT, by_line(items())["p.yaml"])) == [
        ("+", 1, "one", ""),
        ("~", 2, "two", "a: never satisfied"),
        (" ", 3, "three", ""),
        (" ", 4, "four", ""),
    ]
    marks = list(marked_source(TEXT, by_line(items())["q.yaml"]))
    assert marks[2] == ("-", 3, "three", "b: never satisfied or unsatisfied")


def test_tracefile_is_lcovs():
    """Lines count everything on them, outcomes are branches, `-` where nothing was evaluated (geninfo(1))."""
    assert lcov(items()).splitlines() == [
        "TN:",
        "SF:p.yaml",
        "BRDA:1,0,0,2",
        "BRDA:2,0,0,0",
        "BRDA:2,0,1,1",
        "BRDA:2,1,0,1",
        "BRDA:2,1,1,1",
        "BRF:5",
        "BRH:4",
        "DA:1,2",
        "DA:2,3",
        "LF:2",
        "LH:2",
        "end_of_record",
        "TN:",
        "SF:q.yaml",
        "BRDA:3,0,0,-",
        "BRDA:3,0,1,-",
        "BRF:2",
        "BRH:0",
        "DA:3,0",
        "LF:1",
        "LH:0",
        "end_of_record",
    ]
