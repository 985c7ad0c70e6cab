import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import HostInvalidError, PathAmbiguousError
from extauthz.model.policy import OnAmbiguity, PathSettings, TrailingSlash
from extauthz.pdp.canonical import PathReader, canonical_host

DEFAULT = PathReader(PathSettings())
KEEP = OnAmbiguity.KEEP


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ("/", ()),
        ("/?x", ()),
        ("/a", ("a",)),
        ("/a/", ("a",)),
        ("/a/b?x=/../y", ("a", "b")),
        ("/x%3Ay", ("x:y",)),
        ("/%61", ("a",)),
        ("/.well-known/x", (".well-known", "x")),
        ("/a%20b", ("a b",)),
        ("/%C3%A9", ("é",)),
        ("/100%25", ("100%",)),
        ("/%25zz", ("%zz",)),
        ("/%23", ("#",)),
        ("/a..b", ("a..b",)),
        ("/...", ("...",)),
    ],
)
def test_a_path_has_one_reading(target, segments):
    """Segments are split, decoded once and cut at the query; a final slash does not matter."""
    assert DEFAULT.read(target) == segments


@pytest.mark.parametrize(
    "target",
    [
        *("", "a", "*", "http://h/a", "?/a"),
        *("/a%2Fb", "/a%2fb", "/a%5Cb", "/a\\b", "/a%252e", "/a%2525", "//a", "/a//b", "/a//", "/a//?x"),
        *("/./a", "/../a", "/a/..", "/a/.", "/%2e%2e", "/a/%2E", "/.%2e/x"),
        *("/a;x", "/a%3Bx", "/a%3bx", "/a#b", "/a b", "/a\x00", "/a%00", "/a%1f", "/a%7F", "/a\x7f", "/a\n"),
        *("/é", "/a%", "/a%4", "/a%zz", "/%ff", "/%c0%af", "/%c3", "/%ed%a0%80", "/%c3/%a9"),
    ],
)
def test_an_ambiguous_path_is_refused(target):
    """What two readers may read differently has no reading here."""
    with pytest.raises(PathAmbiguousError):
        DEFAULT.read(target)


@pytest.mark.parametrize(
    ("settings", "target", "segments"),
    [
        (PathSettings(encoded_slash=KEEP), "/a%2fb%5c", ("a%2Fb%5C",)),
        (PathSettings(double_encoding=KEEP), "/a%252fb%41", ("a%252FbA",)),
        (PathSettings(repeated_slash=KEEP), "/a//b", ("a", "", "b")),
        (PathSettings(repeated_slash=KEEP), "/a//", ("a", "")),
        (PathSettings(dot_segments=KEEP), "/a/../%2e", ("a", "..", ".")),
        (PathSettings(parameters=KEEP), "/a;x=1/%3B", ("a;x=1", ";")),
        (PathSettings(trailing_slash=TrailingSlash.DISTINCT), "/a/", ("a", "")),
        (PathSettings(trailing_slash=TrailingSlash.DISTINCT), "/", ()),
    ],
)
def test_a_setting_keeps_what_the_default_refuses(settings, target, segments):
    """A kept escape stays escaped, in upper case, so that two paths never become one."""
    assert PathReader(settings).read(target) == segments
    if settings.trailing_slash is TrailingSlash.SAME:
        with pytest.raises(PathAmbiguousError):
            DEFAULT.read(target)


KEEP_ALL = PathReader(PathSettings(KEEP, KEEP, KEEP, KEEP, KEEP, TrailingSlash.DISTINCT))


@given(
    st.text(st.sampled_from("/ab.%25fFcC2;:e"), max_size=12), st.text(st.sampled_from("/ab.%25fFcC2;:e"), max_size=12)
)
def test_two_paths_with_one_reading_decode_to_the_same(one, other):
    """Whatever is kept: equal segments mean paths that differ only in how they escape the same characters."""
    import urllib.parse

    readings = []
    for path in (one, other):
        try:
            readings.append(KEEP_ALL.read("/" + path))
        except PathAmbiguousError:
            return
    if readings[0] == readings[1]:
        assert urllib.parse.unquote("/" + one) == urllib.parse.unquote("/" + other)


@given(st.text(max_size=30))
def test_reading_raises_only_its_own_error(text):
    """Any text is read or refused."""
    for reader in (DEFAULT, KEEP_ALL):
        try:
            segments = reader.read("/" + text)
        except PathAmbiguousError:
            continue
        assert all(isinstance(segment, str) for segment in segments)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\;%"), min_size=1), min_size=1
    )
)
def test_reading_undoes_quoting(segments):
    """Quoting any plain segments and reading the path gives them back."""
    from urllib.parse import quote

    if any(s in {".", ".."} for s in segments):
        return
    assert DEFAULT.read("/" + "/".join(quote(s, safe="") for s in segments)) == tuple(segments)


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example:8443", "shop.example"),
        ("shop.example.", "shop.example"),
        ("shop.example.:80", "shop.example"),
        ("[::1]:80", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("127.0.0.1", "127.0.0.1"),
        ("a_b", "a_b"),
    ],
)
def test_a_host_has_one_reading(host, canonical):
    """Lower case, without port and without one trailing dot."""
    assert canonical_host(host) == canonical


@pytest.mark.parametrize(
    "host",
    ["", ".", ":80", "a,b", "user@a", "a b", "a\x00", "é", "a/b", "a:b", "a:80:80", "[::1", "a\n", "a:123456", "a%2Eb"],
)
def test_what_is_no_single_host_is_refused(host):
    """Several hosts, user information, nothing, and what is not ASCII are no host."""
    with pytest.raises(HostInvalidError):
        canonical_host(host)
