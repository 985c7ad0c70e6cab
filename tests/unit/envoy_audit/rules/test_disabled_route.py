import pytest

from tests.envoy_configurations import EXT_AUTHZ, JWT_AUTHN, RBAC, ext_authz, filters, found, jwt_authn, rbac


def hosts(config: str, where: str = "route") -> str:
    """Virtual hosts with configuration of their own for a filter."""
    of_route = f", typed_per_filter_config: {config}" if where == "route" else ""
    of_host = f", typed_per_filter_config: {config}" if where == "host" else ""
    return (
        'route_config: {virtual_hosts: [{name: all, domains: ["*"], '
        f"routes: [{{match: {{prefix: /static}}{of_route}}}]{of_host}}}]}}\n"
    )


@pytest.mark.parametrize("where", ["route", "host"])
@pytest.mark.parametrize(
    ("chain", "config"),
    [
        (ext_authz(), f'{{ext_authz: {{"@type": {EXT_AUTHZ}.ExtAuthzPerRoute, disabled: true}}}}'),
        (ext_authz(), '{ext_authz: {"@type": x/envoy.config.route.v3.FilterConfig, disabled: true}}'),
        (rbac(), f'{{rbac: {{"@type": {RBAC}.RBACPerRoute}}}}'),
        (jwt_authn(), f'{{jwt: {{"@type": {JWT_AUTHN}.PerRouteConfig, disabled: true}}}}'),
    ],
)
def test_authorization_that_is_off_somewhere_is_found(where, chain, config):
    """For a route or a whole virtual host, by each filter's own means."""
    (message,) = found("EAE104", filters(chain) + hosts(config, where))
    assert ("/static" if where == "route" else "all") in message


def test_other_configuration_of_routes_is_not():
    """As what the authorizer is told about one, or another filter's."""
    for config in (
        f'{{ext_authz: {{"@type": {EXT_AUTHZ}.ExtAuthzPerRoute, check_settings: {{}}}}}}',
        f'{{rbac: {{"@type": {RBAC}.RBACPerRoute, rbac: {{rules: {{}}}}}}}}',
        '{cors: {"@type": x/envoy.config.route.v3.FilterConfig, disabled: true}}',
    ):
        assert found("EAE104", filters(ext_authz(), rbac(), "{name: cors}") + hosts(config)) == []


def test_a_filter_that_is_off_by_default_is_found():
    """Only what a route enables is authorized then."""
    assert len(found("EAE104", filters(ext_authz().replace("{name", "{disabled: true, name", 1)))) == 1
