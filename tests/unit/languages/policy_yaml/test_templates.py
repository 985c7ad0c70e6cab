import pytest

from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.policy_yaml.templates import path_names, read_template
from extauthz.model.policy import TemplatePart, UpstreamHeader, header_spellings
from tests.policies import HEAD, ROUTE, codes, only_route, scalar


def test_templates_are_texts_and_facts():
    """Parts in braces are dotted paths."""
    assert read_template(scalar("u={principal.subject}; t={claims.a.b}{path.x}"), Report()) == (
        TemplatePart(text="u="),
        TemplatePart(path=("principal", "subject")),
        TemplatePart(text="; t="),
        TemplatePart(path=("claims", "a", "b")),
        TemplatePart(path=("path", "x")),
    )


def test_the_path_variables_of_a_template_are_known():
    """Whether a route binds them is checked elsewhere."""
    template = read_template(scalar("{path.a}-{claims.b}-{path.c}"), Report())
    assert template is not None
    assert list(path_names(template)) == ["a", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "}",
        "{a",
        "a}",
        "{}",
        "{{a}}",
        "{principal}",
        "{principal.name}",
        "{principal.roles.x}",
        "{claims}",
        "{claims.}",
        "{claims..a}",
        "{path}",
        "{path.a.b}",
        "{request.host}",
        " a",
        "a ",
        "ä",
        "a\tb",
    ],
)
def test_what_cannot_be_rendered_is_refused(text):
    """Every part names a fact, and the text around them fits into a header."""
    report = Report()
    assert read_template(scalar(text), report) is None
    assert [finding.code for finding in report.diagnostics([])] == ["EAZ702"]


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "Host",
        ":path",
        "x-envoy-a",
        "X-Forwarded-For",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "transfer-encoding",
        "content-length",
        "proxy-authorization",
        "x_user",
        "x y",
        "é",
        "a" * 101,
        "-".join("abcdefghij"),
    ],
)
def test_headers_that_are_not_a_policys_are_refused(name):
    """What belongs to the connection or the proxy, and what servers confuse."""
    assert codes(f"{HEAD}{ROUTE}upstream_headers: {{set: {{'{name}': a}}}}\n") == ["EAZ701"]
    assert codes(f"{HEAD}{ROUTE}upstream_headers: {{remove: ['{name}']}}\n") == ["EAZ701"]


def test_an_owned_header_has_few_spellings():
    """All of them are removed from every request."""
    longest = "-".join("abcdefghi")
    route = only_route(f"{HEAD}{ROUTE}upstream_headers: {{set: {{{longest}: x}}}}\n")
    assert [header.name for header in route.upstream_headers] == [longest]
    assert len(header_spellings(longest)) == 256


def test_names_are_read_in_lower_case():
    """Header names are compared without case."""
    route = only_route(f"{HEAD}{ROUTE}upstream_headers: {{set: {{X-User: x}}, remove: [Cookie]}}\n")
    assert route.upstream_headers == (
        UpstreamHeader("cookie", None),
        UpstreamHeader("x-user", (TemplatePart(text="x"),)),
    )


@pytest.mark.parametrize("headers", ["{set: {X-A: a, x-a: b}}", "{set: {x-a: a}, remove: [x-a]}", "{remove: [a, A]}"])
def test_a_header_is_set_or_removed_once(headers):
    """Within one place; an inner place overrides an outer one."""
    assert codes(f"{HEAD}{ROUTE}upstream_headers: {headers}\n") == ["EAZ303"]
