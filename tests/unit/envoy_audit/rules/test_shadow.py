import pytest

from tests.envoy_configurations import ext_authz, filters, found, rbac


@pytest.mark.parametrize(
    ("chain", "number"),
    [
        ((ext_authz("shadow_mode: true"),), 1),
        ((ext_authz("shadow_mode: true"), rbac()), 1),
        ((rbac("shadow_rules: {}"),), 1),
        ((rbac("stat_prefix: x"),), 1),
        ((rbac("rules: {action: LOG}"),), 1),
        ((rbac("shadow_rules: {}"), rbac("matcher: {}")), 0),
        ((rbac("shadow_rules: {}"), ext_authz()), 0),
        ((rbac("rules: {action: DENY}"),), 0),
    ],
)
def test_something_must_enforce(chain, number):
    """Shadow rules beside it may be what it decides by."""
    assert len(found("EAE107", filters(*chain))) == number
