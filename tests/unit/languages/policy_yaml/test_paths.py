import pytest

from extauthz.errors import PathAmbiguousError
from extauthz.languages.policy_yaml.paths import PathReader
from extauthz.languages.policy_yaml.report import Report
from extauthz.model.policy import (
    LiteralSegment,
    OnAmbiguity,
    PathSettings,
    RestSegment,
    TrailingSlash,
    VariableSegment,
)
from extauthz.pdp.canonical import PathReader as RequestPathReader
from tests.policies import scalar

KEEP_ALL = PathSettings(
    encoded_slash=OnAmbiguity.KEEP,
    double_encoding=OnAmbiguity.KEEP,
    repeated_slash=OnAmbiguity.KEEP,
    dot_segments=OnAmbiguity.KEEP,
    parameters=OnAmbiguity.KEEP,
    trailing_slash=TrailingSlash.DISTINCT,
)


def segments(text: str, settings: PathSettings | None = None, prefix: str = ""):
    report = Report()
    pattern = PathReader(settings or PathSettings(), report).read(scalar(text), prefix)
    assert pattern is not None, report.diagnostics([])
    return pattern.segments


def test_paths_are_read_by_segments():
    """Literals, variables, and a rest at the end, with a name or without."""
    assert segments("/") == ()
    assert segments("/a/{b}/**") == (LiteralSegment("a"), VariableSegment("b"), RestSegment(None))
    assert segments("/{rest=**}") == (RestSegment("rest"),)
    assert segments("/x:y") == (LiteralSegment("x:y"),)


def test_a_trailing_slash_is_the_same_path_unless_distinct():
    """`/a/` is `/a`, or a path with an empty last segment."""
    assert segments("/a/") == segments("/a")
    assert segments("/a/", KEEP_ALL) == (LiteralSegment("a"), LiteralSegment(""))


def test_prefixes_stand_before_paths():
    """`/` below a prefix is the prefix itself."""
    assert segments("/b", prefix="/a") == segments("/a/b")
    assert segments("/", prefix="/a") == segments("/a")
    assert segments("/", KEEP_ALL, prefix="/a") == segments("/a/", KEEP_ALL)


def test_prefixes_join_and_hold_no_rest():
    """What follows a prefix is a route's path."""
    report = Report()
    reader = PathReader(PathSettings(), report)
    assert reader.read_prefix(scalar("/b/{c}/"), "/a") == "/a/b/{c}"
    assert reader.read_prefix(scalar("/"), "") == ""
    assert not report.has_errors
    assert reader.read_prefix(scalar("/b/**"), "") is None
    assert reader.read_prefix(scalar("b"), "") is None
    assert report.has_errors


@pytest.mark.parametrize(
    "text", ["", "a", "/a?b", "/**/a", "/{a=**}/b", "/a/*", "/{a}b", "/{}", "/{1}", "/{a-b}", "/{a", "/a}", "/{a=*}"]
)
def test_what_is_no_pattern_is_refused(text):
    """A variable is a whole segment, a rest is the last one."""
    report = Report()
    assert PathReader(PathSettings(), report).read(scalar(text)) is None
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ503"]


@pytest.mark.parametrize("text", ["/a//b", "/a/../b", "/.", "/a;b", "/a%2Fb", "/a%5cb", "/a%2541", "/%41", "/a\\b"])
def test_literals_that_no_request_can_have_are_unreachable(text):
    """The reading of request paths refuses or decodes what they hold."""
    report = Report()
    assert PathReader(PathSettings(), report).read(scalar(text)) is None
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ504"]
    assert _read_of_request(text) != tuple(text[1:].split("/"))


def _read_of_request(path: str) -> tuple[str, ...] | None:
    try:
        return RequestPathReader(PathSettings()).read(path)
    except PathAmbiguousError:
        return None


@pytest.mark.parametrize("text", ["/a//b", "/a/../b", "/a;b", "/a%2fb", "/a%5cb", "/a%2541", "/a/", "/a", "/"])
def test_what_is_kept_matches_as_requests_are_read(text):
    """A literal path under settings that keep everything is what the request's path is read as."""
    literals = tuple(segment.text for segment in segments(text, KEEP_ALL) if isinstance(segment, LiteralSegment))
    assert literals == RequestPathReader(KEEP_ALL).read(text)


def test_a_name_binds_one_segment():
    """Twice in a path, one of the two would be lost."""
    report = Report()
    PathReader(PathSettings(), report).read(scalar("/{a}/{a}"))
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ303"]
