import pytest

from extauthz.languages.rego.multipart import MultipartError, Part, media_parameters, parse_media_type, read_parts


def part(name="a", body="1", more=""):
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n{more}\r\n{body}\r\n'


def read(text, boundary="x"):
    return list(read_parts(text.encode("latin-1"), boundary))


def bodies(text):
    return [found.body for found in read(text)]


def test_parts():
    """Names, types and bodies; what stands before the first delimiter and after the last is nothing."""
    text = "before\r\n" + part() + part("b", "two\r\nlines", "Content-Type: application/json\r\n") + "--x--\r\nafter"
    assert read(text) == [Part("a", "", b"1"), Part("b", "application/json", b"two\r\nlines")]


@pytest.mark.parametrize("end", ["--x--", "--x--\r\n", "--x-- \t\r\n"])
def test_ends(end):
    """The last delimiter needs no line end, and may be followed by blanks."""
    assert bodies(part() + end) == [b"1"]


def test_line_feeds_alone():
    """Then everywhere: a carriage return belongs to the body."""
    assert bodies((part() + "--x--").replace("\r\n", "\n")) == [b"1"]
    assert bodies(part(body="1\r").replace("\r\n", "\n") + "--x--") == [b"1\r"]


def test_what_only_begins_like_a_delimiter():
    """A longer line is content."""
    assert bodies(part(body="1\r\n--xy\r\n2") + "--x--") == [b"1\r\n--xy\r\n2"]


def test_empty_parts():
    """A body of nothing, and one that its delimiter follows at once."""
    assert bodies(part(body="") + "--x--") == [b""]
    assert bodies('--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n--x--') == [b""]


def test_no_parts():
    """Only the end."""
    assert read("--x--") == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("content-disposition: form-data; name=a", "a"),
        ("Content-Disposition:FORM-DATA ; NAME=a;", "a"),
        ("Content-Disposition: form-data;\r\n name=a", "a"),
        (r'Content-Disposition: form-data; name="a\"b\c"', r'a"b\c'),
        ("Content-Disposition: form-data; name*=utf-8''%61b", "ab"),
        ("Content-Disposition: form-data; name*0=a; name*1*=%62; name*3=c", "ab"),
        ("Content-Disposition: attachment; name=a", ""),
        ("Content-Disposition: form-data", ""),
        ("Content-Disposition: form-data; name=a; name=b", ""),
        ("Content-Disposition: form-data; name", ""),
        ("X-Other: 1", ""),
        ("Content-Disposition : form-data; name=a", ""),
    ],
)
def test_names(header, name):
    """The name of a form field; anything else is none."""
    assert [found.name for found in read(f"--x\r\n{header}\r\n\r\n1\r\n--x--")] == [name]


def test_quoted_printable():
    """That encoding is undone, as Go does."""
    encoded = part(body="a=3Db=\r\nc", more="Content-Transfer-Encoding: Quoted-Printable\r\n")
    assert bodies(encoded + "--x--") == [b"a=bc"]
    assert bodies("--x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n--x--") == [b"="]
    with pytest.raises(MultipartError):
        read(part(body="a=b", more="Content-Transfer-Encoding: quoted-printable\r\n") + "--x--")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no delimiter",
        "--x",
        "--x\r\n",
        "--x\r\nContent-Type: text/plain",
        part(),
        part() + "--xy",
        part() + "--x y\r\n--x--",
        "--x\r\n continued: 1\r\n\r\n1\r\n--x--",
        "--x\r\nno colon\r\n\r\n1\r\n--x--",
        "--x\r\n: no name\r\n\r\n1\r\n--x--",
        "before\n--x--\nafter",
        "--x\r\nbad(name): 1\r\n\r\n1\r\n--x--",
        "--x\r\nname: \x01\r\n\r\n1\r\n--x--",
        "--x\r\n" + "a: 1\r\n" * 10_001 + "\r\n1\r\n--x--",
    ],
)
def test_malformed(text):
    """What ends early, or has a header that is none, is refused."""
    with pytest.raises(MultipartError):
        read(text)


def test_an_empty_boundary():
    """There is nothing to look for."""
    with pytest.raises(MultipartError, match="boundary is empty"):
        read("--\r\n", boundary="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("multipart/form-data; boundary=x", ("multipart/form-data", {"boundary": "x"})),
        (
            ' Multipart/Form-Data ;Boundary="a b" ; charset=utf-8;',
            ("multipart/form-data", {"boundary": "a b", "charset": "utf-8"}),
        ),
        ("form-data", ("form-data", {})),
        ("a; b=1; B=1", ("a", {"b": "1"})),
    ],
)
def test_media_types(text, expected):
    """Names are lower case, values as they are."""
    assert parse_media_type(text) == expected
    assert media_parameters(text) == expected[1]


@pytest.mark.parametrize("text", ["", "a b", "a/", "a; b", "a; b=", 'a; b="', "a; b=1; B=2", "a; b=1 c", "a;;"])
def test_malformed_media_types(text):
    """A parameter without a value, a quote that does not end, a name given twice."""
    with pytest.raises(MultipartError):
        parse_media_type(text)
