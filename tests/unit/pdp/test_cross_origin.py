import pytest

from extauthz.pdp.cross_origin import readable_headers, reader_of

LISTED = ("https://app.example", "http://localhost:3000")


@pytest.mark.parametrize(
    ("origins", "asking", "reader"),
    [
        (LISTED, ["https://app.example"], "https://app.example"),
        (LISTED, ["http://localhost:3000"], "http://localhost:3000"),
        (LISTED, ["https://evil.example"], None),
        (LISTED, ["https://app.example.evil.example"], None),
        (LISTED, ["https://app.example", "https://app.example"], None),
        (LISTED, ["https://app.example, https://evil.example"], None),
        (LISTED, ["null"], None),
        (LISTED, ["*"], None),
        (LISTED, [""], None),
        (LISTED, [], None),
        ((), ["https://app.example"], None),
        (("*",), ["https://anybody.example"], "*"),
        (("*",), [], "*"),
    ],
)
def test_a_denial_is_readable_by_the_listed_origin_that_asks(origins, asking, reader):
    """By nobody else, unless anybody is listed."""
    assert reader_of(origins, asking) == reader


def test_what_depends_on_the_origin_says_so():
    """A cache must not give it to another."""
    assert readable_headers("https://a.example") == {
        "access-control-allow-origin": "https://a.example",
        "vary": "origin",
    }
    assert readable_headers("*") == {"access-control-allow-origin": "*"}
