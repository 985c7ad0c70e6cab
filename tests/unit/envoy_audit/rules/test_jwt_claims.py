import pytest

from tests.envoy_configurations import filters, found, jwt_authn

GOOD = "issuer: i, audiences: [a], require_expiration: true, from_headers: [{name: authorization}]"


@pytest.mark.parametrize("left_out", GOOD.split(", "))
def test_each_of_them_is_needed(left_out):
    """Nothing of it is checked by default."""
    fields = ", ".join(part for part in GOOD.split(", ") if part != left_out)
    assert len(found("EAE403", filters(jwt_authn(f"providers: {{corp: {{{fields}}}}}")))) == 1
    assert found("EAE403", filters(jwt_authn(f"providers: {{corp: {{{GOOD}}}}}"))) == []


def test_a_longest_lifetime_is_an_end_too():
    """It needs `exp`."""
    fields = GOOD.replace("require_expiration: true", "max_lifetime: 3600s")
    assert found("EAE403", filters(jwt_authn(f"providers: {{corp: {{{fields}}}}}"))) == []
