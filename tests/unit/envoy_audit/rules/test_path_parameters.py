from tests.envoy_configurations import found


def test_routes_must_not_ignore_path_parameters():
    """Off is the default."""
    name = "ignore_path_parameters_in_path_matching"
    assert len(found("EAE202", f"route_config: {{{name}: true}}\n")) == 1
    assert found("EAE202", f"route_config: {{{name}: false}}\n") == []
