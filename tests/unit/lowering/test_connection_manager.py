import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from extauthz.lowering.connection_manager import DECISION_FIELDS, connection_manager_fields


def allow(_):
    """A reply that allows."""
    reply = CheckResponse()
    reply.ok_response.SetInParent()
    return reply


def log_format(fields):
    """The JSON format of the one access log."""
    (log,) = fields["access_log"]
    return log["typed_config"]["log_format"]["json_format"]


def test_the_log_names_a_decision_as_the_decision_log_does():
    """Each field of a decision's dynamic metadata is in the line under its own name."""
    written = log_format(connection_manager_fields())
    for name in DECISION_FIELDS:
        assert written[name] == f"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{name})%"


def test_the_log_goes_to_standard_output_unless_told():
    """A container's log is its standard output."""
    (stdout,) = connection_manager_fields()["access_log"]
    (file,) = connection_manager_fields(access_log="/var/log/envoy.json")["access_log"]
    assert stdout["name"] == "envoy.access_loggers.stdout"
    assert file["typed_config"]["path"] == "/var/log/envoy.json"


@pytest.mark.envoy
@pytest.mark.parametrize("path", ["/a%2fb", "/a%5Cb", "/a%2Fb"])
def test_escaped_slashes_are_refused(policy_set, front, path):
    """One party could read one segment where another reads two."""
    with front(policy_set(), allow) as proxy:
        assert (proxy.send(path=path)[0].status, proxy.asked) == (400, [])


@pytest.mark.envoy
def test_what_was_decided_is_what_is_forwarded(policy_set, front):
    """Dot segments and repeated slashes are gone before the authorizer and the upstream see the path."""
    with front(policy_set(), allow) as proxy:
        _, body = proxy.send(path="/a/./b/..//c")
        asked = proxy.asked[0].attributes.request.http.path
    assert asked == "/a/c"
    assert b'"path": "/a/c"' in body


@pytest.mark.envoy
def test_the_host_is_asked_about_without_port_and_final_dot(policy_set, front):
    """Virtual hosts are chosen by the name that the policy's host is compared with."""
    with front(policy_set(), allow) as proxy:
        proxy.send(headers=[("x-forwarded-host", "evil.example")])
        assert proxy.asked[0].attributes.request.http.host == "127.0.0.1"


@pytest.mark.envoy
def test_clients_cannot_send_envoys_own_headers(policy_set, front):
    """At the edge, X-Forwarded-For gets one more address, and x-envoy-original-path is nobody's to send."""
    with front(policy_set(), allow) as proxy:
        seen = proxy.upstream_headers([("x-forwarded-for", "203.0.113.7"), ("x-envoy-original-path", "/admin")])
    first, appended = seen["x-forwarded-for"].split(",")
    assert first == "203.0.113.7"
    assert appended  # for a peer on loopback Envoy writes the host's own address
    assert "x-envoy-original-path" not in seen


def test_a_proxy_on_the_same_host_has_already_written_the_client():
    """Envoy would append the host's own address for a loopback peer, which no policy can know."""
    assert connection_manager_fields(behind_local_proxy=True)["skip_xff_append"] is True
    assert "skip_xff_append" not in connection_manager_fields()
