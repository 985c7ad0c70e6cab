from tests.envoy_configurations import filters, found, rbac


def test_conditions_that_envoy_does_not_read_are_found():
    """In rules and in shadow rules, in both spellings."""
    for text in (
        "rules: {policies: {a: {checked_condition: {}}}}",
        "shadowRules: {policies: {a: {checkedCondition: {}}}}",
    ):
        assert len(found("EAE109", filters(rbac(text)))) == 1
    assert found("EAE109", filters(rbac("rules: {policies: {a: {condition: {}}}}"))) == []
