"""JWTs in compact form (RFC 7519, RFC 7515, RFC 8725): reading one, verifying it, and checking what it claims.

Reading believes nothing; what it yields only picks the provider and the keys. PyJWT verifies the signature. Times,
audience and their types are checked here, against the caller's clock. What the header says about where keys are (`jku`,
`x5u`, `jwk`, `x5c`) is never looked at.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import jwt
from jwt import exceptions

from extauthz.authn.keyset import ALGORITHMS, Key
from extauthz.authn.strict_json import JsonRefusedError, parse_object
from extauthz.errors import (
    AlgorithmNotAllowedError,
    AudienceMismatchError,
    ClaimInvalidError,
    ClaimMissingError,
    DecidedError,
    IssuerUnknownError,
    KeySetUnavailableError,
    SignatureInvalidError,
    TokenExpiredError,
    TokenMalformedError,
    TokenNotYetValidError,
)
from extauthz.model.access import Claims, JsonValue

MAXIMUM_TOKEN_BYTES = 16_384
_MAXIMUM_HEADER_CHARACTERS = 4096
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
"""RFC 7515 section 7.1, base64url without padding (section 2). The third part is empty under `alg: none`."""

_JWS = jwt.PyJWS(algorithms=ALGORITHMS, options={"verify_signature": True, "enforce_minimum_key_length": True})

MAPPED: Mapping[type[exceptions.PyJWTError], type[DecidedError]] = {
    exceptions.PyJWTError: TokenMalformedError,
    exceptions.InvalidTokenError: TokenMalformedError,
    exceptions.DecodeError: TokenMalformedError,
    exceptions.InvalidSignatureError: SignatureInvalidError,
    exceptions.ExpiredSignatureError: TokenExpiredError,
    exceptions.InvalidAudienceError: AudienceMismatchError,
    exceptions.InvalidIssuerError: IssuerUnknownError,
    exceptions.InvalidIssuedAtError: ClaimInvalidError,
    exceptions.ImmatureSignatureError: TokenNotYetValidError,
    exceptions.InvalidAlgorithmError: AlgorithmNotAllowedError,
    exceptions.MissingRequiredClaimError: ClaimMissingError,
    exceptions.InvalidSubjectError: ClaimInvalidError,
    exceptions.InvalidJTIError: ClaimInvalidError,
    # A key that PyJWT cannot use is not the caller's fault: we could not decide.
    exceptions.InvalidKeyError: KeySetUnavailableError,
    exceptions.PyJWKError: KeySetUnavailableError,
    exceptions.MissingCryptographyError: KeySetUnavailableError,
    exceptions.PyJWKSetError: KeySetUnavailableError,
    exceptions.PyJWKClientError: KeySetUnavailableError,
    exceptions.PyJWKClientConnectionError: KeySetUnavailableError,
}
"""Every exception of PyJWT, as ours."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself. Nobody vouches for any of it."""

    text: str
    algorithm: str
    kid: str | None
    issuer: str
    claims: dict[str, JsonValue]


def read_token(text: str) -> UnverifiedToken:
    """Take a token apart.

    Raises:
        TokenMalformedError: not a JWS in compact form that holds a JSON object, beyond our limits, or with a header
            that asks for what we do not do.
        ClaimMissingError: no `iss`.
        ClaimInvalidError: an `iss` that is no string.
    """
    if len(text) > MAXIMUM_TOKEN_BYTES:
        raise TokenMalformedError(f"larger than {MAXIMUM_TOKEN_BYTES} bytes")
    shape = _SHAPE.fullmatch(text)
    if shape is None or len(shape[1]) > _MAXIMUM_HEADER_CHARACTERS:
        raise TokenMalformedError("not a JWS in compact form")
    header, claims = _object(shape[1]), _object(shape[2])
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise TokenMalformedError("'alg' must be a string, and so must 'kid' where there is one")
    if "crit" in header:
        # RFC 7515 section 4.1.11: a recipient that does not understand an extension MUST reject. We understand none.
        raise TokenMalformedError("'crit' names extensions that are not understood")
    if header.get("b64", True) is not True:
        raise TokenMalformedError("an unencoded payload (RFC 7797) is not understood")
    if "iss" not in claims:
        raise ClaimMissingError("no 'iss'")
    issuer = claims["iss"]
    if not isinstance(issuer, str):
        raise ClaimInvalidError("'iss' must be a string")
    return UnverifiedToken(text, algorithm, kid, issuer, claims)


def signature_verifies(token: UnverifiedToken, key: Key) -> bool:
    """Whether the key made the token's signature, under the algorithm that the token names.

    INVARIANT: the caller has checked that the provider lists the algorithm; that the key fits it is checked here.

    Raises:
        DecidedError: PyJWT refuses the token or the key for another reason than the signature.
    """
    if token.algorithm not in key.algorithms:
        raise AlgorithmNotAllowedError("the key is not for this algorithm")
    try:
        _JWS.decode_complete(token.text, key.material, algorithms=[token.algorithm])
    except exceptions.InvalidSignatureError:
        return False
    except exceptions.PyJWTError as error:
        # Its message may quote the token's header.
        raise MAPPED[type(error)](f"PyJWT refuses it: {type(error).__name__}") from None
    return True


def check_audience(claims: Claims, audiences: Collection[str] | None) -> None:
    """Check `aud` (RFC 7519 section 4.1.3), exactly; None takes any, and none.

    Raises:
        AudienceMismatchError: absent, or without any of the audiences.
        ClaimInvalidError: neither a string nor a list of strings.
    """
    if audiences is None:
        return
    if "aud" not in claims:
        raise AudienceMismatchError("no 'aud'")
    claimed = claims["aud"]
    listed = [claimed] if isinstance(claimed, str) else claimed
    if not isinstance(listed, Sequence):
        raise ClaimInvalidError("'aud' must be a string or a list of strings")
    if not all(isinstance(audience, str) for audience in listed):
        raise ClaimInvalidError("'aud' must be a string or a list of strings")
    if not any(audience in audiences for audience in listed):
        raise AudienceMismatchError("'aud' names none of the provider's audiences")


def validity(claims: Claims, clock_skew_seconds: float) -> tuple[float, float]:
    """From when, and until when exclusively, the claims hold: epoch seconds, clock skew allowed for.

    RFC 7519 sections 4.1.4 (`exp`) and 4.1.5 (`nbf`). An `iat` in the future counts like `nbf`: no honest issuer signs
    ahead of time.

    Raises:
        ClaimMissingError: no `exp`.
        ClaimInvalidError: one of the three is no number.
    """
    if "exp" not in claims:
        raise ClaimMissingError("no 'exp'")
    starts = [_numeric_date(claims, name) - clock_skew_seconds for name in ("nbf", "iat") if name in claims]
    return max(starts, default=float("-inf")), _numeric_date(claims, "exp") + clock_skew_seconds


def check_time(valid_from: float, valid_until: float, now: float) -> None:
    """Check `now` against what `validity` said.

    Raises:
        TokenExpiredError: "on or after which the JWT MUST NOT be accepted".
        TokenNotYetValidError: before it holds.
    """
    if now >= valid_until:
        raise TokenExpiredError("'exp' has passed")
    if now < valid_from:
        raise TokenNotYetValidError("'nbf' or 'iat' lies in the future")


def _object(segment: str) -> dict[str, JsonValue]:
    try:
        return parse_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except JsonRefusedError as error:
        raise TokenMalformedError(f"a part of the token is refused: {error}") from None
    except ValueError:
        raise TokenMalformedError("a part of the token is not base64url") from None


def _numeric_date(claims: Claims, name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimInvalidError(f"'{name}' must be a number")
    return float(value)
