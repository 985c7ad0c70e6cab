import pytest

from tests.envoy_configurations import filters, found, rbac


@pytest.mark.parametrize(
    ("rules", "number"),
    [
        ("{action: DENY, policies: {a: {condition: {}}, b: {}}}", 1),
        ("{action: ALLOW, policies: {a: {condition: {}}}}", 0),
        ("{policies: {a: {condition: {}}}}", 0),
        ("{action: DENY, policies: {a: {principals: []}}}", 0),
    ],
)
def test_conditions_must_not_deny(rules, number):
    """ALLOW is the default action."""
    assert len(found("EAE108", filters(rbac(f"rules: {rules}")))) == number
