"""`WWW-Authenticate` values: RFC 6750 section 3 (Bearer), RFC 9728 section 5.1 (`resource_metadata`).

No `error_description`: why a credential was refused is for the operator's log, not for whoever presented it.
"""

from __future__ import annotations

from collections.abc import Sequence

from extauthz.model.decision import Reason
from extauthz.model.policy import ResponseSettings

# RFC 6750 section 3.1. None: "If the request lacks any authentication information, [...] the resource server SHOULD NOT
# include an error code"; an API key is no bearer token, so none of the codes is about it.
_ERRORS: dict[Reason, str | None] = {
    Reason.CREDENTIAL_MISSING: None,
    Reason.API_KEY_UNKNOWN: None,
    Reason.TOKEN_MALFORMED: "invalid_token",
    Reason.ISSUER_UNKNOWN: "invalid_token",
    Reason.ALGORITHM_NOT_ALLOWED: "invalid_token",
    Reason.KEY_UNKNOWN: "invalid_token",
    Reason.SIGNATURE_INVALID: "invalid_token",
    Reason.AUDIENCE_MISMATCH: "invalid_token",
    Reason.TOKEN_EXPIRED: "invalid_token",
    Reason.TOKEN_NOT_YET_VALID: "invalid_token",
    Reason.CLAIM_MISSING: "invalid_token",
    Reason.CLAIM_INVALID: "invalid_token",
    Reason.CREDENTIALS_AMBIGUOUS: "invalid_request",  # "uses more than one method for including an access token"
    Reason.INSUFFICIENT_SCOPE: "insufficient_scope",
}


def challenge_for(settings: ResponseSettings, reason: Reason, scopes: Sequence[str] = ()) -> str | None:
    """The value of `WWW-Authenticate` for a denial, None where none belongs.

    Args:
        settings: realm and resource metadata, both optional.
        reason: why the request was denied.
        scopes: for `insufficient_scope`, what would have been enough.
    """
    if reason not in _ERRORS:
        return None
    parameters = {
        "realm": settings.realm,
        "error": _ERRORS[reason],
        "scope": " ".join(scopes) if reason is Reason.INSUFFICIENT_SCOPE else None,
        "resource_metadata": settings.resource_metadata,
    }
    written = ", ".join(f"{name}={_quoted(value)}" for name, value in parameters.items() if value)
    return f"Bearer {written}" if written else "Bearer"


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4); what may not stand in a header becomes `?`."""
    printable = "".join(c if " " <= c <= "~" else "?" for c in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
