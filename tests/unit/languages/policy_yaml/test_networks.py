import ipaddress

import pytest

from extauthz.languages.policy_yaml.networks import http_url, is_loopback, read_networks, read_origins, read_workloads
from extauthz.languages.policy_yaml.report import Report
from tests.policies import scalar


def test_networks_are_addresses_with_a_prefix():
    """An address alone is a network of one; host bits are a mistake."""
    report = Report()
    texts = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
    assert read_networks([scalar(text) for text in texts], report) == tuple(map(ipaddress.ip_network, texts))
    assert not report.has_errors
    assert read_networks([scalar(text) for text in ("10.0.0.1/8", "10.0.0/8", "10.0.0.0/33", "any")], report) == ()
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ411"] * 4


@pytest.mark.parametrize("text", ["spiffe://d.example/a", "spiffe://d.example/a/b-c.d_e/**", "spiffe://d.example/**"])
def test_workloads_are_spiffe_ids_of_trusted_domains(text):
    """With a path, or everything below one."""
    report = Report()
    assert read_workloads([scalar(text)], ["d.example"], report) == (text,)
    assert not report.has_errors


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://d.example",
        "spiffe://d.example/",
        "spiffe://d.example/a/",
        "spiffe://d.example//a",
        "spiffe://d.example/*",
        "spiffe://d.example/a**",
        "spiffe://D.example/a",
        "spiffe://d.example/../a",
        "spiffe://d.example/./**",
        "d.example/a",
        "spiffe://other.example/a",
        "spiffe://d.example:1/a",
        "spiffe://d.example/a?b",
        "spiffe://d.example/" + "a" * 2048,
    ],
)
def test_other_workloads_are_refused(text):
    """What no certificate of a trusted domain can hold, or what would match in an unexpected way."""
    report = Report()
    assert read_workloads([scalar(text)], ["d.example"], report) == ()
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ410"]


@pytest.mark.parametrize("text", ["https://app.example", "http://localhost:3000", "http://[::1]:80", "app://x"])
def test_origins_are_as_browsers_send_them(text):
    """Scheme, host, and a port that is not the scheme's own."""
    report = Report()
    assert read_origins([scalar(text)], report) == (text,)
    assert not report.has_errors


@pytest.mark.parametrize("text", ["https://app.example/", "null", "app.example", "https://App.example", "https://*.a"])
def test_other_origins_are_refused(text):
    """No browser ever sends them, or anybody can."""
    report = Report()
    read_origins([scalar(text)], report)
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ510"]


def test_any_origin_stands_alone():
    """Beside another it would be a mistake about either."""
    report = Report()
    assert read_origins([scalar("*")], report) == ("*",)
    assert not report.has_errors
    read_origins([scalar("*"), scalar("https://a.example")], report)
    assert report.has_errors


@pytest.mark.parametrize(
    "text",
    [
        "https://u:p@a.example/",
        "https:///x",
        "ftp://a",
        "https://a.example/#f",
        "https://a:0",
        "https://a:x",
        "https://[::1",
        "https://ä.example",
        "https://a b",
    ],
)
def test_urls_that_would_be_read_in_two_ways_are_none(text):
    """User information, fragments, bad ports, raw spaces."""
    assert http_url(text) is None


def test_loopback_is_this_machine():
    """By address, or by the name that means it."""
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in ("10.0.0.1", "localhost.example", "")] == [False] * 3
