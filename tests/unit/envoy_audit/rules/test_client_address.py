from tests.envoy_configurations import found


def test_the_connection_must_be_believed():
    """`BoolValue` is a boolean in JSON."""
    assert len(found("EAE302", "use_remote_address: false\n")) == 1
    assert found("EAE302", "useRemoteAddress: true\n") == []
