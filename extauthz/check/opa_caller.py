"""Who sends a request, for a policy that decides by itself: a set beside it verifies credentials and binds paths.

The set's rules say nothing here. A credential that proves nothing is no denial: the policy finds `principal.error`, the
reason's slug, and nobody authenticated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authorizer import Snapshot
from extauthz.errors import DecidedError, KeySetUnavailableError, RequestError
from extauthz.languages.rego.facts_input import FactsInput
from extauthz.languages.rego.failure import RegoEvaluationError
from extauthz.languages.rego.input_document import InputRefusedError
from extauthz.languages.rego.reads import InputPath
from extauthz.languages.rego.value import Value
from extauthz.model.access import ANONYMOUS, AccessRequest, Facts, RoleHolding
from extauthz.model.decision import Reason
from extauthz.pdp.canonical import Segments, canonical_host

MEMBERS: Final = ("principal", "claims", "path")
"""What is added to the input."""


class CallerReader:
    """Reads callers under one policy set; an `Identify`."""

    def __init__(self, snapshot: Snapshot, reads: Iterable[InputPath]) -> None:
        """Tell what a policy reads, as `reads.input_reads` finds it."""
        self._snapshot = snapshot
        wanted = {path for read in reads for path in ([(name,) for name in MEMBERS] if not read else [read])}
        self._members = FactsInput(path for path in wanted if path[0] in MEMBERS)
        self._looks = any(path[0] in MEMBERS for path in wanted)

    def __call__(self, request: AccessRequest, now: float) -> Mapping[str, Value] | NeedKeySet:
        """The members for one request, or the key set that is missing.

        Raises:
            KeySetUnavailableError: it cannot be had.
            RegoEvaluationError: a role of the caller could not be determined.
        """
        if not self._looks:
            return {}
        facts, error = self._facts(request, now)
        if isinstance(facts, NeedKeySet):
            return facts
        try:
            members: dict[str, Value] = self._members.make(facts)
        except InputRefusedError as refusal:
            raise RegoEvaluationError(str(refusal)) from None
        if error is not None:
            members.setdefault("principal", {})["error"] = str(error)
        return members

    def _facts(self, request: AccessRequest, now: float) -> tuple[Facts | NeedKeySet, Reason | None]:
        """The caller and the path, and why the credential proves nothing."""
        snapshot = self._snapshot
        host, segments, captured, owner = "", Segments(()), Segments(()), None
        try:
            segments = snapshot.paths.read(request.target)
            host = canonical_host(request.host)
        except RequestError:
            pass  # no route of the set owns it; what is wrong with it, the policy can see for itself
        else:
            owner, captured = snapshot.routes.find(host, segments) or (None, ())
        compiled = owner.for_method(request.method) if owner is not None else None
        authenticator = snapshot.unowned if compiled is None else compiled.authenticator
        principal, error = ANONYMOUS, None
        if authenticator is not None:
            try:
                found = authenticator.authenticate(request, now)
            except KeySetUnavailableError:
                raise
            except DecidedError as failure:
                error = failure.reason
            else:
                if isinstance(found, NeedKeySet):
                    return found, None
                principal = found
        variables = () if compiled is None else compiled.variables
        facts = Facts(
            request=request,
            host=host,
            path="/" + "/".join(segments),
            path_variables=dict(zip(variables, captured, strict=False)),  # an unnamed `**` is captured too
            principal=principal,
            now=now,
            resolve_roles=_asserted_roles if compiled is None else compiled.resolve_roles,
        )
        return facts, error


def _asserted_roles(facts: Facts) -> RoleHolding:
    """Where no route owns the request there are no bindings."""
    return RoleHolding(frozenset(facts.principal.roles))
