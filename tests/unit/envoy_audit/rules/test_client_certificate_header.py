from tests.envoy_configurations import found


def test_only_the_form_that_checks_nothing_is_found():
    """The others clean, or need a certificate."""
    for form, number in (("ALWAYS_FORWARD_ONLY", 1), ("FORWARD_ONLY", 0), ("SANITIZE", 0), ("APPEND_FORWARD", 0)):
        assert len(found("EAE303", f"forward_client_cert_details: {form}\n")) == number
