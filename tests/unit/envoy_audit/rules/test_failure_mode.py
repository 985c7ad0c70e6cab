from tests.envoy_configurations import ext_authz, filters, found


def test_it_is_found_however_it_is_written():
    """Protobuf's JSON has two spellings; false is the default."""
    for text in ("failure_mode_allow: true", "failureModeAllow: true"):
        assert len(found("EAE102", filters(ext_authz(text)))) == 1
    assert found("EAE102", filters(ext_authz("failure_mode_allow: false"))) == []
