from extauthz.model.provider import SharedSecret


def test_a_secret_is_not_printed():
    """Its representation is safe to log."""
    assert "hunter2" not in repr(SharedSecret(b"hunter2"))
