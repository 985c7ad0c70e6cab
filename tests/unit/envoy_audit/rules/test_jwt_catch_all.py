import pytest

from tests.envoy_configurations import filters, found, jwt_authn


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ("rules: [{match: {prefix: /api}}]", 1),
        ("rules: [{match: {path: /}}]", 1),
        ("", 1),
        ("rules: [{match: {prefix: /api}}, {match: {prefix: /}}]", 0),
        ("filter_state_rules: {}", 0),
    ],
)
def test_all_other_paths_need_a_rule(fields, number):
    """A path alone is not all paths."""
    assert len(found("EAE401", filters(jwt_authn(fields)))) == number
