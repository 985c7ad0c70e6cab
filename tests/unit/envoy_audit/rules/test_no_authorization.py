from tests.envoy_configurations import ext_authz, filters, found, rbac


def test_a_chain_without_authorization_is_found():
    """Whatever else is in it."""
    assert len(found("EAE101", filters())) == 1
    assert len(found("EAE101", filters("{name: cors}"))) == 1


def test_a_filter_that_authorizes_or_may_is_enough():
    """A WebAssembly module, or one that comes by discovery, may be it."""
    wasm = '{name: w, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm}}'
    for each in (ext_authz(), rbac(), wasm, "{name: d, config_discovery: {}}"):
        assert found("EAE101", filters(each)) == []
