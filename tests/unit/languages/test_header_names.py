import pytest

from extauthz.languages.header_names import MAX_NAME, is_header_name, is_reserved


@pytest.mark.parametrize("name", ["host", ":path", "x-envoy-peer", "x-forwarded-for", "te", "content-length"])
def test_names_of_the_connection_and_the_proxy(name):
    """No policy sets, adds or removes them."""
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["x-user", "authorization", "set-cookie", "x-env"])
def test_names_that_a_policy_may_use(name):
    """Everything else."""
    assert not is_reserved(name)
    assert is_header_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x\n", "a" * (MAX_NAME + 1)])
def test_texts_that_are_no_names(name):
    """RFC 9110 section 5.6.2, and not endless."""
    assert not is_header_name(name)
