import pytest

from tests.envoy_configurations import ext_authz, filters, found


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ("filter_enabled: {default_value: {numerator: 50}}", 1),
        ("filter_enabled: {default_value: {numerator: 100}}", 0),
        ("filter_enabled: {default_value: {numerator: 10000, denominator: TEN_THOUSAND}}", 0),
        ("filter_enabled: {default_value: {numerator: 100, denominator: MILLION}}", 1),
        ("filter_enabled: {default_value: {}}", 1),
        ("filter_enabled_metadata: {filter: rbac, value: {string_match: {exact: ask}}}", 1),
        ("filter_enabled_metadata: {filter: rbac, value: {string_match: {exact: ask}}, invert: true}", 0),
        ("filter_enabled_metadata: {filter: rbac}, deny_at_disable: {default_value: true}", 0),
        ("filter_enabled: {default_value: {numerator: 1}}, deny_at_disable: {default_value: false}", 1),
    ],
)
def test_what_is_not_asked_about_must_be_denied(fields, number):
    """By fraction and by metadata."""
    assert len(found("EAE103", filters(ext_authz(fields)))) == number
