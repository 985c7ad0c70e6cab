from tests.envoy_configurations import found


def test_they_must_be_refused_or_dropped():
    """They pass by default."""
    for action, number in (("ALLOW", 1), ("DROP_HEADER", 0), ("REJECT_REQUEST", 0)):
        fields = f"common_http_protocol_options: {{headers_with_underscores_action: {action}}}\n"
        assert len(found("EAE301", fields)) == number
