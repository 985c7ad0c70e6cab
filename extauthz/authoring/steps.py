"""The steps of a decision up to its rules, taken one by one: what each came to, for those who look at it afterwards.

The same parts of the compiled set take them as in `extauthz.authorizer`, which alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authorizer import CompiledRoute, Snapshot
from extauthz.errors import DecidedError, RequestError
from extauthz.model.access import ANONYMOUS, AccessRequest, Facts, Principal
from extauthz.model.policy import Authentication
from extauthz.pdp.canonical import Segments, canonical_host


@dataclass(frozen=True, slots=True)
class Steps:
    """How far a request gets, and with what."""

    request: AccessRequest
    now: float
    refusal: str = ""
    """Why path, host or credential are refused; empty when they are not."""
    segments: Segments | None = None
    """The canonical path; None when it has no single reading."""
    host: str | None = None
    """Canonical; None when it is no host, or was not looked at."""
    compiled: CompiledRoute | None = None
    variables: tuple[tuple[str, str], ...] = ()
    """What the route's path binds."""
    caller: Principal | None = None
    """None when authentication was not reached, or refused the credential."""

    @property
    def path(self) -> str | None:
        return None if self.segments is None else "/" + "/".join(self.segments)

    @property
    def reach_rules(self) -> bool:
        """Whether the rules of the route have a say."""
        if self.compiled is None or self.caller is None:
            return False
        return self.caller.authenticated or self.compiled.route.authentication is not Authentication.REQUIRED

    def facts(self) -> Facts | None:
        """What the rules of the route read, of nobody where no caller is known; None where there is no route."""
        if self.compiled is None or self.path is None or self.host is None:
            return None
        return Facts(
            request=self.request,
            host=self.host,
            path=self.path,
            path_variables=dict(self.variables),
            principal=self.caller or ANONYMOUS,
            now=self.now,
            resolve_roles=self.compiled.resolve_roles,
        )


def take_steps(
    request: AccessRequest, snapshot: Snapshot, now: float, principal: Principal | None, *, method: str
) -> Steps:
    """Go as far as the request gets.

    Args:
        request: the request.
        snapshot: the policy set.
        now: seconds since the epoch.
        principal: who is assumed to ask, instead of whom the credentials prove.
        method: for which the route is looked for: the request's, or the one that a preflight asks about.
    """
    try:
        segments = snapshot.paths.read(request.target)
    except RequestError as error:
        return Steps(request, now, str(error))
    try:
        host = canonical_host(request.host)
    except RequestError as error:
        return Steps(request, now, str(error), segments)
    owner, captured = snapshot.routes.find(host, segments) or (None, ())
    compiled = owner.for_method(method) if owner is not None else None
    # An unnamed `**` is captured too.
    variables = tuple(zip(compiled.variables, captured, strict=False)) if compiled is not None else ()
    caller, refusal = _authenticate(request, snapshot, now, principal, compiled)
    return Steps(request, now, refusal, segments, host, compiled, variables, caller)


def _authenticate(
    request: AccessRequest, snapshot: Snapshot, now: float, principal: Principal | None, compiled: CompiledRoute | None
) -> tuple[Principal | None, str]:
    authenticator = snapshot.unowned if compiled is None else compiled.authenticator
    if authenticator is None:
        return ANONYMOUS, ""
    if principal is not None:
        return principal, ""
    try:
        caller = authenticator.authenticate(request, now)
    except DecidedError as error:
        return None, str(error)
    if isinstance(caller, NeedKeySet):
        return None, f"the keys of provider {caller.provider.name} are not at hand"
    return caller, ""
