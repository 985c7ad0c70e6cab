import pytest


@pytest.fixture
def ask(listener):
    listener.serves_opa_health = True
    return lambda query="": listener.request("GET", f"/health{query}").status_code


def test_without_a_policy(ask, listener):
    """The process is well, and must not get requests yet."""
    listener.status.policy = None
    assert [ask(), ask("?plugins"), ask("?bundles=true"), ask("?bundles&plugins")] == [200, 500, 500, 500]


def test_with_a_policy(ask, listener):
    """All is well, until the process drains."""
    assert [ask(), ask("?plugins"), ask("?bundles")] == [200, 200, 200]
    listener.status.is_draining = True
    assert [ask(), ask("?plugins"), ask("?bundles")] == [500, 500, 500]


def test_only_a_drop_in_has_it(listener):
    """A service of policy sets has probes of its own."""
    assert listener.request("GET", "/health").status_code == 404
