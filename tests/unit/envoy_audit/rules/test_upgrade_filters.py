import pytest

from tests.envoy_configurations import ext_authz, filters, found


@pytest.mark.parametrize(
    ("upgrade", "number"),
    [
        ("{upgrade_type: websocket, filters: [{name: router}]}", 1),
        ("{upgrade_type: CONNECT, filters: [{name: x}, {name: router}]}", 1),
        ("{upgrade_type: websocket}", 0),
        (f"{{upgrade_type: websocket, filters: [{ext_authz()}, {{name: router}}]}}", 0),
    ],
)
def test_upgrades_go_through_authorization(upgrade, number):
    """A chain of their own has its own authorization."""
    assert len(found("EAE105", filters(ext_authz()) + f"upgrade_configs: [{upgrade}]\n")) == number
