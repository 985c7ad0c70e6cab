from tests.envoy_configurations import ext_authz, filters, found


def test_headers_must_arrive_as_they_were_sent():
    """Over gRPC; HTTP services get headers as headers."""
    for fields, number in (
        ("grpc_service: {}", 1),
        ("grpc_service: {}, encode_raw_headers: true", 0),
        ("http_service: {}", 0),
    ):
        assert len(found("EAE304", filters(ext_authz(fields)))) == number
