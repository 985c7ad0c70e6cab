import pytest

from extauthz.languages.policy_yaml.hosts import ANY_HOST, read_host
from extauthz.languages.policy_yaml.report import Report
from extauthz.model.policy import HostPattern
from extauthz.pdp.canonical import canonical_host
from tests.policies import scalar


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("shop.example", HostPattern("shop.example")),
        ("Shop.EXAMPLE", HostPattern("shop.example")),
        ("localhost", HostPattern("localhost")),
        ("*.shop.example", HostPattern("shop.example", suffix=True)),
        ("*.example", HostPattern("example", suffix=True)),
        ("10.0.0.1", HostPattern("10.0.0.1")),
        ("[2001:DB8::1]", HostPattern("[2001:db8::1]")),
        ("my_service", HostPattern("my_service")),
        ("*", ANY_HOST),
    ],
)
def test_hosts_are_exact_suffixes_or_any(text, pattern):
    """In lower case, as requests' hosts are compared."""
    report = Report()
    assert read_host(scalar(text), report) == pattern
    assert not report.has_errors


@pytest.mark.parametrize(
    "text",
    [
        "a.example:80",
        "a.example.",
        "a,b",
        "a@b",
        "bücher.example",
        "*a.example",
        "a.*",
        "*.",
        "https://a",
        "a b",
        "-a",
        "a..b",
        "a" * 64,
        "a." * 127 + "aa",
        "::1",
        "*.*.a",
    ],
)
def test_what_no_request_can_have_for_a_host_is_refused(text):
    """A route on it would never run."""
    report = Report()
    assert read_host(scalar(text), report) is None
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ502"]


@pytest.mark.parametrize("text", ["shop.example", "SHOP.example", "[2001:DB8::1]", "10.0.0.1", "my_service"])
def test_a_host_pattern_is_how_requests_are_read(text):
    """The pattern and the canonical host of a request for it are the same text."""
    pattern = read_host(scalar(text), Report())
    assert pattern is not None
    assert pattern.host == canonical_host(f"{text}:8443")
