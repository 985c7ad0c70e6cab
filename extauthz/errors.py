"""The exceptions, by whose fault they are.

    ExtAuthzError
    ├── ConfigurationError            the operator's: flags, settings, files; exit 3
    ├── EnvironmentUnfitError         the machine's: a port in use, a permission, a missing binary; exit 1
    ├── PolicyError                   the author's: carries every diagnostic of the set, sorted; exit 3
    │   └── LoweringError             cannot be expressed natively *exactly*
    ├── AuthnError                    the caller's: 401 and WWW-Authenticate
    │   ├── CredentialMissingError
    │   ├── TokenMalformedError
    │   ├── IssuerUnknownError
    │   ├── AlgorithmNotAllowedError
    │   ├── KeyUnknownError
    │   ├── SignatureInvalidError
    │   ├── AudienceMismatchError
    │   ├── TokenExpiredError
    │   ├── TokenNotYetValidError
    │   ├── ClaimMissingError
    │   ├── ClaimInvalidError
    │   └── ApiKeyUnknownError
    ├── RequestError                  the caller's: 400
    │   ├── RequestMalformedError
    │   ├── RequestTooLargeError      (413)
    │   ├── PathAmbiguousError
    │   ├── HostInvalidError
    │   └── CredentialsAmbiguousError
    └── UnavailableError              ours or a dependency's: 503, could not decide
        ├── KeySetUnavailableError
        ├── DeadlineExceededError
        └── OverloadedError

A denial is no exception but a `Decision`; a condition that fails is `Outcome.ERRORED`. The authorizer turns AuthnError,
RequestError and UnavailableError into decisions. Messages never hold a token, a key or a claim's value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from extauthz.model.decision import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extauthz.model.source import Diagnostic


class ExtAuthzError(Exception):
    """Everything this package raises on purpose."""


class ConfigurationError(ExtAuthzError):
    """A flag, setting or file that the operator must change; the message says which and how."""


class EnvironmentUnfitError(ExtAuthzError):
    """Something about the machine: a port in use, a missing permission or program."""


class PolicyError(ExtAuthzError):
    """A policy set that must not be served, with everything that is wrong with it."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics))
        super().__init__("\n".join(d.render() for d in self.diagnostics))


class LoweringError(PolicyError):
    """A policy that a back end cannot express exactly."""


class DecidedError(ExtAuthzError):
    """A failure that is itself an answer: the authorizer makes it a denial for its reason.

    Abstract: only a class with a reason can be raised.
    """

    reason: ClassVar[Reason]

    def __init__(self, message: str) -> None:
        if not hasattr(type(self), "reason"):
            abstract = f"{type(self).__name__} is abstract"
            raise TypeError(abstract)
        super().__init__(message)


class AuthnError(DecidedError):
    """The caller's credential does not prove who they are."""


class CredentialMissingError(AuthnError):
    """No credential where one is required."""

    reason = Reason.CREDENTIAL_MISSING


class TokenMalformedError(AuthnError):
    """Not a signed JWT in compact form (RFC 7519 section 7.2), or one beyond our limits."""

    reason = Reason.TOKEN_MALFORMED


class IssuerUnknownError(AuthnError):
    """No provider of the route vouches for this issuer."""

    reason = Reason.ISSUER_UNKNOWN


class AlgorithmNotAllowedError(AuthnError):
    """The token's algorithm is not one of the provider's (RFC 8725 section 3.1)."""

    reason = Reason.ALGORITHM_NOT_ALLOWED


class KeyUnknownError(AuthnError):
    """The provider's key set has no key of this id and type."""

    reason = Reason.KEY_UNKNOWN


class SignatureInvalidError(AuthnError):
    """The signature does not verify."""

    reason = Reason.SIGNATURE_INVALID


class AudienceMismatchError(AuthnError):
    """The token is not meant for us (RFC 7519 section 4.1.3)."""

    reason = Reason.AUDIENCE_MISMATCH


class TokenExpiredError(AuthnError):
    """`exp` has passed (RFC 7519 section 4.1.4)."""

    reason = Reason.TOKEN_EXPIRED


class TokenNotYetValidError(AuthnError):
    """`nbf` or `iat` lies in the future (RFC 7519 sections 4.1.5 and 4.1.6)."""

    reason = Reason.TOKEN_NOT_YET_VALID


class ClaimMissingError(AuthnError):
    """A claim that we require is absent (`exp`, `iss`)."""

    reason = Reason.CLAIM_MISSING


class ClaimInvalidError(AuthnError):
    """A claim of the wrong type, a missing subject, or text that cannot be compared safely."""

    reason = Reason.CLAIM_INVALID


class ApiKeyUnknownError(AuthnError):
    """No provider of the route knows this API key."""

    reason = Reason.API_KEY_UNKNOWN


class RequestError(DecidedError):
    """A request that can be read in more than one way, or in none."""


class RequestMalformedError(RequestError):
    """Not a CheckRequest with HTTP attributes."""

    reason = Reason.REQUEST_MALFORMED


class RequestTooLargeError(RequestError):
    """More bytes than we look at."""

    reason = Reason.REQUEST_TOO_LARGE


class PathAmbiguousError(RequestError):
    """A path that two readers may read differently."""

    reason = Reason.PATH_AMBIGUOUS


class HostInvalidError(RequestError):
    """No single host name."""

    reason = Reason.HOST_INVALID


class CredentialsAmbiguousError(RequestError):
    """More than one credential."""

    reason = Reason.CREDENTIALS_AMBIGUOUS


class UnavailableError(DecidedError):
    """We could not decide. Never an allow, and never an error that a proxy may turn into one."""


class KeySetUnavailableError(UnavailableError):
    """The provider's keys were never fetched, or are too old."""

    reason = Reason.KEY_SET_UNAVAILABLE


class DeadlineExceededError(UnavailableError):
    """The time for a decision ran out."""

    reason = Reason.DEADLINE_EXCEEDED


class OverloadedError(UnavailableError):
    """More requests wait than we can answer in time."""

    reason = Reason.OVERLOADED
