import json

import pytest
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from extauthz.envoy_audit.rule import EXT_AUTHZ, JWT_AUTHN, MANAGER, RBAC


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (EXT_AUTHZ, ext_authz_pb2.ExtAuthz),
        (RBAC, rbac_pb2.RBAC),
        (JWT_AUTHN, config_pb2.JwtAuthentication),
        (MANAGER, http_connection_manager_pb2.HttpConnectionManager),
    ],
)
def test_the_heads_of_examples_name_envoys_messages(head, message):
    """A reader can paste them."""
    name, _, url = head.partition(": ")
    assert json.loads(name) == "@type"
    assert url == f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
