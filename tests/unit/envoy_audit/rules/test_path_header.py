import pytest

from tests.envoy_configurations import filters, found, rbac


@pytest.mark.parametrize(
    ("header", "number"),
    [
        ("{name: ':path', string_match: {exact: /a}}", 1),
        ("{name: ':path', exact_match: /a}", 1),
        ("{name: ':path', string_match: {suffix: .html}}", 1),
        ("{name: ':path', string_match: {prefix: /a}}", 0),
        ("{name: ':path', prefix_match: /a}", 0),
        ("{name: ':method', string_match: {exact: GET}}", 0),
    ],
)
def test_rules_about_the_whole_target_are_found(header, number):
    """However deep; a prefix is not ended by a query."""
    rules = f"rules: {{policies: {{a: {{permissions: [{{and_rules: {{rules: [{{header: {header}}}]}}}}]}}}}}}"
    assert len(found("EAE203", filters(rbac(rules)))) == number
