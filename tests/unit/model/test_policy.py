import pytest

from extauthz.model.policy import header_spellings
from tests.strategies import make_host, make_pattern


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("authorization", {"authorization"}),
        ("x-user", {"x-user", "x_user"}),
        ("x-user-id", {"x-user-id", "x_user-id", "x-user_id", "x_user_id"}),
        ("x_user", {"x-user", "x_user"}),
    ],
)
def test_a_headers_spellings_are_all_that_cgi_reads_alike(name, spellings):
    """Every mix of `-` and `_`."""
    assert set(header_spellings(name)) == spellings


def test_a_pattern_knows_the_variables_it_binds():
    """From left to right, an unnamed rest left out."""
    assert make_pattern("/a/{x}/{y}/{rest=**}").variables == ("x", "y", "rest")
    assert make_pattern("/a/{x}/**").variables == ("x",)


def test_a_host_pattern_reads_as_written():
    """As in the policy's text."""
    assert [str(make_host(h)) for h in ("a.example", "*.example")] == ["a.example", "*.example"]
