import pytest

from tests.envoy_configurations import ext_authz, filters, found, jwt_authn, rbac


@pytest.mark.parametrize(
    ("chain", "number"),
    [
        ((rbac(), jwt_authn()), 1),
        ((ext_authz(), jwt_authn()), 1),
        ((jwt_authn(), rbac(), ext_authz()), 0),
        ((ext_authz(), rbac()), 0),
    ],
)
def test_tokens_are_verified_first(chain, number):
    """Before any filter that decides."""
    assert len(found("EAE404", filters(*chain))) == number
