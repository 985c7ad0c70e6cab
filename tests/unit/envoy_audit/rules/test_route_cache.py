import pytest

from tests.envoy_configurations import ext_authz, filters, found, jwt_authn, rbac


@pytest.mark.parametrize(
    ("chain", "number"),
    [
        ((rbac(), ext_authz("clear_route_cache: true")), 1),
        ((jwt_authn(), ext_authz("clear_route_cache: true")), 1),
        ((rbac(), ext_authz("clear_route_cache: false")), 0),
        ((ext_authz("clear_route_cache: true"), rbac()), 0),
        ((ext_authz("clear_route_cache: true"),), 0),
    ],
)
def test_decisions_before_the_route_changes_are_found(chain, number):
    """Those after it are about the new route."""
    assert len(found("EAE106", filters(*chain))) == number
