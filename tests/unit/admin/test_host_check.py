import pytest

from extauthz.admin.host_check import is_local


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9180", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9180", "127.9.9.9:1", "[::1]", "[::1]:9180"],
)
def test_this_machines_names(host):
    """With or without a port."""
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:9180",
        "evil.example:127.0.0.1",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[fe80::1]:9180",
        "::1",
        "localhost@evil.example",
        "2130706433",
    ],
)
def test_names_of_others(host):
    """Whatever they look like."""
    assert not is_local(host)
