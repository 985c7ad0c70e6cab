from extauthz.authoring.suite import WrittenRequest


def test_repeated_headers_stay_apart():
    """A header's values are those of every place it stands in, in order; a name is listed once."""
    request = WrittenRequest("GET", "/", "h", (("x-a", "1"), ("x-b", "2"), ("x-a", "3")))
    assert request.header_values("x-a") == ("1", "3")
    assert request.header_values("x-c") == ()
    assert request.header_names() == ["x-a", "x-b"]
