import hashlib

import pytest

from extauthz.languages.rego.failure import BuiltinError


def test_hashes_are_of_bytes(call):
    """A text is hashed as UTF-8, bytes that are none as they are."""
    assert call("crypto.sha256", "é") == hashlib.sha256("é".encode()).hexdigest()
    assert call("crypto.sha1", call("base64.decode", "gA==")) == hashlib.sha1(b"\x80").hexdigest()
    with pytest.raises(BuiltinError):
        call("crypto.sha256", 1)
    with pytest.raises(BuiltinError):
        call("crypto.sha256", "\ud800")


def test_authentication_codes(call):
    """Equal codes are equal, others are not, whatever their lengths."""
    code = call("crypto.hmac.sha512", "m", "k")
    assert call("crypto.hmac.equal", code, code)
    assert not call("crypto.hmac.equal", code, code[:-1])
    assert call("crypto.hmac.md5", "m", "k") != call("crypto.hmac.md5", "m", "l")
