from extauthz.languages.policy_yaml.files import Files, digest, joined_path
from extauthz.languages.policy_yaml.nodes import Document, Scalar
from extauthz.languages.policy_yaml.report import Report


def name(text: str, path: str = "sets/shop/policy.yaml") -> Scalar:
    return Scalar(Document(path, ""), 1, 1, text, text)


def test_names_are_relative_to_the_file_that_names_them():
    """As the user gave that file; an absolute name stays as it is."""
    assert joined_path(name("keys.yaml")) == "sets/shop/keys.yaml"
    assert joined_path(name("keys.yaml", "policy.yaml")) == "keys.yaml"
    assert joined_path(name("/etc/keys.yaml")) == "/etc/keys.yaml"


def test_a_file_is_read_once_and_remembered():
    """Two providers may name one file: both see the same content."""
    asked = []

    def read_file(path: str) -> bytes:
        asked.append(path)
        return b"content"

    files = Files(read_file, Report())
    assert files.read(name("a")) == files.read(name("a")) == b"content"
    assert asked == ["sets/shop/a"]
    assert files.contents == {"sets/shop/a": b"content"}


def test_a_file_that_cannot_be_read_is_reported_where_it_is_named():
    """Whatever the reader raises of its own: no permission, no file, no such name."""
    for error in (PermissionError(13, "Permission denied"), OSError("gone"), ValueError("embedded null byte")):
        report = Report()

        def read_file(_: str, error: Exception = error) -> bytes:
            raise error

        assert Files(read_file, report).read(name("a")) is None
        (finding,) = report.diagnostics([])
        assert finding.code == "EAZ111"
        assert "sets/shop/a" in finding.message


def test_a_digest_tells_contents_apart():
    """Order does not matter, where a text stands does."""
    assert digest([("a", b"x"), ("b", b"y")]) == digest([("b", b"y"), ("a", b"x")])
    assert digest([("a", b"xy"), ("b", b"")]) != digest([("a", b"x"), ("b", b"y")])
    assert len(digest([])) == 12
