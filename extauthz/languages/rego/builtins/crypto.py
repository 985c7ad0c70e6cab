"""Hashes and message authentication."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from extauthz.languages.rego.builtins.registry import Registry, text
from extauthz.languages.rego.value import Value, text_bytes

CRYPTO = Registry()


def _declare_hash(name: str, algorithm: Callable[..., Any]) -> None:
    @CRYPTO.add(f"crypto.{name}", 1)
    def digest(value: Value) -> str:
        return str(algorithm(text_bytes(text(value, 1)), usedforsecurity=False).hexdigest())


def _declare_mac(name: str, algorithm: str) -> None:
    @CRYPTO.add(f"crypto.hmac.{name}", 2)
    def mac(value: Value, key: Value) -> str:
        return hmac.new(text_bytes(text(key, 2)), text_bytes(text(value, 1)), algorithm).hexdigest()


_declare_hash("md5", hashlib.md5)
_declare_hash("sha1", hashlib.sha1)
_declare_hash("sha256", hashlib.sha256)
for _name in ("md5", "sha1", "sha256", "sha512"):
    _declare_mac(_name, _name)


@CRYPTO.add("crypto.hmac.equal", 2)
def hmac_equal(left: Value, right: Value) -> bool:
    """In time that does not depend on where they differ."""
    return hmac.compare_digest(text_bytes(text(left, 1)), text_bytes(text(right, 2)))
