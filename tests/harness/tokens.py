"""The issuers of the tests, `corp` and `partner`, and the tokens they and their enemies write.

A token's times are seconds from now, so that no case ages. Keys are made once a process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from jwt.utils import base64url_encode

from extauthz.demo.issuer import SigningKey, generate_key, public_key_set, token_claims

ISSUERS = {"corp": "https://issuer.example", "partner": "https://partner.example"}
"""The `iss` of each; the key set is the file `<name>.jwks.json`."""

AUDIENCE = "shop"
SECRET = "a-shared-secret-of-forty-bytes-and-more!"
"""What HS256 tokens are signed with."""

_TIMES = ("exp", "nbf", "iat")


@cache
def signing_key(issuer: str, algorithm: str) -> SigningKey:
    """The key with which an issuer signs; `stranger` is nobody's issuer."""
    del issuer  # of the cache's key only
    return generate_key(algorithm)


def key_set_files() -> dict[str, str]:
    """The published key sets, by file name."""
    return {
        f"{name}.jwks.json": json.dumps(public_key_set([signing_key(name, a) for a in ("ES256", "RS256")]))
        for name in ISSUERS
    }


@dataclass(frozen=True, slots=True)
class Token:
    """A token to be minted."""

    claims: Mapping[str, Any] | str
    """Over the defaults (iss, sub, aud, iat, exp); times are seconds from now. A text is the whole token, as it is."""
    issuer: str = "corp"
    algorithm: str = "ES256"
    """`ES256`, `RS256`, `HS256` (with SECRET), or `none`."""
    key: str = ""
    """Whose key signs it; by default the issuer's own."""
    omit: Sequence[str] = ()
    """Default claims to leave out."""
    header: Mapping[str, Any] = field(default_factory=dict)
    """Over the default header; a null removes."""
    tamper: str = ""
    """A claim to add after signing, so that the signature is wrong."""

    def mint(self, now: float) -> str:
        """The token in compact form."""
        if isinstance(self.claims, str):
            return self.claims
        payload = token_claims(
            issuer=ISSUERS[self.issuer], subject="alice", audience=AUDIENCE, now=now, lifetime_seconds=3600
        )
        given = {k: v + int(now) if k in _TIMES and isinstance(v, int) else v for k, v in self.claims.items()}
        payload = {k: v for k, v in {**payload, **given}.items() if k not in self.omit}
        text = self._sign(payload)
        if self.tamper:
            head, _, signature = text.split(".")
            changed = base64url_encode(json.dumps({**payload, self.tamper: True}).encode()).decode()
            text = f"{head}.{changed}.{signature}"
        return text

    def _sign(self, payload: dict[str, Any]) -> str:
        key: Any
        if self.algorithm == "none":
            key, kid = None, None
        elif self.algorithm == "HS256":
            key, kid = SECRET, None
        else:
            signing = signing_key(self.key or self.issuer, self.algorithm)
            key, kid = jwt.PyJWK(signing.private_jwk).key, signing_key(self.issuer, self.algorithm).kid
        header = {"kid": kid, **self.header}
        return jwt.encode(payload, key, self.algorithm, headers={k: v for k, v in header.items() if v is not None})
