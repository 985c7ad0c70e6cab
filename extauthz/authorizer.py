"""The order of a decision, and the only place where authentication and authorization meet.

400 (path, host, credentials) -> the route that owns the request -> 401 -> 403, or allow. `authorize` is pure and
synchronous: when I/O is missing it returns the need. A key set is fetched by the caller, who then asks again. A remote
engine is the last to be asked, about requests that everything else allows: the caller asks it and has `conclude` say
what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from extauthz.authn.authenticator import Authenticator, KeySets, NeedKeySet, VerifiedTokens
from extauthz.authn.challenge import challenge_for
from extauthz.errors import DecidedError, RequestError
from extauthz.model.access import ANONYMOUS, AccessRequest, Deadline, Facts, Principal, RoleHolding
from extauthz.model.decision import Decision, Effect, HeaderChanges, Judgment, Outcome, PolicyId, Reason
from extauthz.model.engine import ENGINE_POLICY, EngineAnswer
from extauthz.model.policy import Authentication, PolicySet, Route
from extauthz.pdp.canonical import PathReader, canonical_host
from extauthz.pdp.evaluate import RouteRules
from extauthz.pdp.judgment import TwoRepliesError, denial_reason, one_of, with_changes
from extauthz.pdp.roles import RoleResolver
from extauthz.pdp.routes import Owner, RouteTable
from extauthz.pdp.upstream import UpstreamHeaderInvalidError, UpstreamRenderer

T = TypeVar("T")

_KEPT_DECISIONS: Final = 16
"""How many decisions are kept with a caller: those of the few routes that one client uses."""


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route with everything that does not depend on the request done ahead."""

    route: Route
    variables: tuple[str, ...]
    authenticator: Authenticator | None
    """None: credentials are not looked at."""
    rules: RouteRules
    resolve_roles: Callable[[Facts], RoleHolding]
    upstream: UpstreamRenderer
    decides_by_ruling: bool
    """Whether a decision follows from the ruling and the caller, whatever else the request holds: then it is made once
    for a caller."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A policy set, compiled: what one decision is made by, whole. A reload replaces it whole."""

    policy_set: PolicySet
    paths: PathReader
    routes: RouteTable[CompiledRoute]
    unowned: Authenticator
    """Authenticates requests that no route owns."""
    nothing_upstream: HeaderChanges
    """Removes every owned header."""
    has_engine: bool
    """Whether a remote engine must allow, too, what the set allows."""

    @property
    def revision(self) -> str:
        return self.policy_set.revision


@dataclass(frozen=True, slots=True)
class NeedEngine:
    """The remote engine must be asked: the set allows this request, and the engine has not said anything yet."""

    facts: Facts
    decision: Decision
    """What it will be if the engine allows, too."""


Need: TypeAlias = NeedKeySet | NeedEngine
"""I/O that is missing for a decision."""


def build_snapshot(
    policy_set: PolicySet, key_sets: KeySets, tokens: VerifiedTokens, *, has_engine: bool = False
) -> Snapshot:
    """Compile a policy set; `key_sets` and `tokens` outlive it, so that a reload starts warm.

    Args:
        policy_set: what to decide by.
        key_sets: where the providers' keys are.
        tokens: what was verified before.
        has_engine: whether a remote engine must allow, too. It is the service's, not the set's: authors have none.
    """
    authenticators: dict[tuple[str, ...], Authenticator] = {}

    def authenticator_for(names: tuple[str, ...]) -> Authenticator:
        if names not in authenticators:
            providers = [p for p in policy_set.providers if p.name in names]
            api_keys = [p for p in policy_set.api_key_providers if p.name in names]
            declared = frozenset(policy_set.roles)
            authenticators[names] = Authenticator(providers, api_keys, declared, key_sets, tokens)
        return authenticators[names]

    resolver = RoleResolver(policy_set.roles, policy_set.bindings, policy_set.trust_domains)

    def compile_route(route: Route) -> CompiledRoute:
        looks = route.authentication is not Authentication.NONE
        rules = RouteRules(route, policy_set)
        upstream = UpstreamRenderer(route.upstream_headers, policy_set.owned_headers)
        return CompiledRoute(
            route=route,
            variables=route.path.variables,
            authenticator=authenticator_for(route.providers) if looks else None,
            rules=rules,
            resolve_roles=resolver.for_route(route.authentication),
            upstream=upstream,
            decides_by_ruling=upstream.follows_from_principal and not rules.looks_for_scopes and route.decision is None,
        )

    return Snapshot(
        policy_set=policy_set,
        paths=PathReader(policy_set.paths),
        routes=RouteTable((route, compile_route(route)) for route in policy_set.routes),
        unowned=authenticator_for(policy_set.default_providers),
        nothing_upstream=UpstreamRenderer((), policy_set.owned_headers).removals,
        has_engine=has_engine,
    )


def authorize(
    request: AccessRequest, snapshot: Snapshot, now: float, deadline: Deadline | None = None
) -> Decision | Need:
    """Decide one request.

    Args:
        request: the request as the proxy saw it.
        snapshot: the policy set in force.
        now: seconds since the epoch.
        deadline: when a condition that takes long gives up; None: when its own budget is spent.

    Returns:
        The decision, or what is missing for it.
    """
    return _in_order(request, snapshot, now, _authenticate, deadline)


def conclude(need: NeedEngine, answer: EngineAnswer, snapshot: Snapshot) -> Decision:
    """What follows from the engine's say. INVARIANT: it allows only what the set allows."""
    would_be, reason = need.decision, answer.reason
    judgment = answer.judgment or Judgment(Outcome.SATISFIED)
    if reason is Reason.ALLOWED:
        try:
            return replace(
                would_be,
                policies=(*would_be.policies, ENGINE_POLICY),
                upstream=with_changes(would_be.upstream, judgment.upstream),
                details=one_of(would_be.details, judgment.details),
            )
        except UpstreamHeaderInvalidError:
            reason = Reason.UPSTREAM_HEADER_INVALID
        except TwoRepliesError:
            reason = Reason.EVALUATION_ERROR
    errored = reason is Reason.EVALUATION_ERROR
    return Decision(
        Effect.DENY,
        (ENGINE_POLICY,),
        (*would_be.errors, ENGINE_POLICY) if errored else would_be.errors,
        reason,
        would_be.route,
        challenge=challenge_for(snapshot.policy_set.responses, reason, ()),
        provider=would_be.provider,
        subject=would_be.subject,
        details=judgment.details if reason is Reason.DENIED_BY_ENGINE else None,
    )


def authorize_as(request: AccessRequest, snapshot: Snapshot, now: float, principal: Principal) -> Decision:
    """Decide as if authentication had yielded this principal: for authoring, never for traffic. No engine is asked."""
    return authorize_by(request, snapshot, now, lambda _: principal)


def authorize_by(
    request: AccessRequest, snapshot: Snapshot, now: float, identify: Callable[[Route | None], Principal]
) -> Decision:
    """As `authorize_as`, where who it is depends on the route (None: no route owns the request).

    `identify` is asked where credentials are looked at; a DecidedError that it raises is a failed authentication.
    """

    def authenticate(
        _: AccessRequest, __: Snapshot, compiled: CompiledRoute | None, ___: float
    ) -> Principal | Decision:
        if compiled is not None and compiled.authenticator is None:
            return ANONYMOUS
        try:
            return identify(None if compiled is None else compiled.route)
        except DecidedError as error:
            return _deny(snapshot, error.reason, compiled)

    decided = _in_order(request, snapshot, now, authenticate)
    return decided.decision if isinstance(decided, NeedEngine) else decided


def caller_of(request: AccessRequest, snapshot: Snapshot, now: float) -> Principal | None:
    """Who sends the request, as `authorize` finds; None where credentials are not looked at, or keys are missing.

    Raises:
        DecidedError: there is no path, host or credential to go by.
    """
    segments = snapshot.paths.read(request.target)
    owner, _ = snapshot.routes.find(canonical_host(request.host), segments) or (None, ())
    compiled = owner.for_method(request.method) if owner is not None else None
    authenticator = snapshot.unowned if compiled is None else compiled.authenticator
    caller = None if authenticator is None else authenticator.authenticate(request, now)
    return caller if isinstance(caller, Principal) else None


def _in_order(
    request: AccessRequest,
    snapshot: Snapshot,
    now: float,
    authenticate: Callable[[AccessRequest, Snapshot, CompiledRoute | None, float], Principal | T],
    deadline: Deadline | None = None,
) -> Decision | NeedEngine | T:
    try:
        segments = snapshot.paths.read(request.target)
        host = canonical_host(request.host)
    except RequestError as error:
        return _deny(snapshot, error.reason)
    owner, captured = snapshot.routes.find(host, segments) or (None, ())
    if owner is not None and request.method == "OPTIONS":
        preflight = _preflight(request, snapshot, owner)
        if preflight is not None:
            return preflight
    compiled = owner.for_method(request.method) if owner is not None else None
    caller = authenticate(request, snapshot, compiled, now)
    if not isinstance(caller, Principal):
        return caller
    required = compiled is None or compiled.route.authentication is Authentication.REQUIRED
    if required and not caller.authenticated:
        return _deny(snapshot, Reason.CREDENTIAL_MISSING, compiled)
    if compiled is None:
        return _deny(snapshot, Reason.NO_ROUTE, caller=caller)
    facts = Facts(
        request=request,
        host=host,
        path="/" + "/".join(segments),
        path_variables=dict(zip(compiled.variables, captured, strict=False)),  # an unnamed `**` is captured too
        principal=caller,
        now=now,
        resolve_roles=compiled.resolve_roles,
        deadline=deadline,
    )
    decision = _decide(facts, snapshot, compiled)
    asks = snapshot.has_engine and decision.effect is Effect.ALLOW
    return NeedEngine(facts, decision) if asks else decision


def _authenticate(
    request: AccessRequest, snapshot: Snapshot, compiled: CompiledRoute | None, now: float
) -> Principal | Decision | NeedKeySet:
    authenticator = snapshot.unowned if compiled is None else compiled.authenticator
    if authenticator is None:
        return ANONYMOUS
    try:
        return authenticator.authenticate(request, now)
    except DecidedError as error:
        return _deny(snapshot, error.reason, compiled)


def _decide(facts: Facts, snapshot: Snapshot, compiled: CompiledRoute) -> Decision:
    caller = facts.principal
    ruling = compiled.rules.decide(facts)
    if not compiled.decides_by_ruling:
        return _conclude(snapshot, compiled, facts, ruling.combined)
    kept = caller.derived if caller.authenticated else ruling.derived
    decision = kept.get(ruling.number)
    if not isinstance(decision, Decision):
        decision = _conclude(snapshot, compiled, facts, ruling.combined)
        if len(kept) < _KEPT_DECISIONS:
            kept[ruling.number] = decision
    return decision


def _conclude(snapshot: Snapshot, compiled: CompiledRoute, facts: Facts, combined: Decision) -> Decision:
    """What a ruling means for one request: an allow with its headers, or a denial with its reason."""
    caller, decision = facts.principal, compiled.route.decision
    judgment = None if decision is None else decision.judge(facts)
    if combined.effect is Effect.DENY:
        anonymous = not caller.authenticated and compiled.route.authentication is Authentication.OPTIONAL
        if judgment is not None and not combined.policies:  # neither a deny nor a require says so
            return _deny_as_judged(snapshot, compiled, caller, combined, judgment, anonymous=anonymous)
        reason = compiled.rules.reason(combined, anonymous=anonymous)
        scopes = compiled.rules.missing_scopes(facts) if reason is Reason.NO_MATCHING_ALLOW else ()
        if scopes:
            reason = Reason.INSUFFICIENT_SCOPE
        return _deny(snapshot, reason, compiled, caller, combined, scopes)
    try:
        upstream = compiled.upstream.render(facts)
        if judgment is not None:
            upstream = with_changes(upstream, judgment.upstream)
    except UpstreamHeaderInvalidError:
        return _deny(snapshot, Reason.UPSTREAM_HEADER_INVALID, compiled, caller)
    return Decision(
        Effect.ALLOW,
        combined.policies,
        combined.errors,
        Reason.ALLOWED,
        compiled.route.name,
        upstream,
        provider=caller.provider,
        subject=caller.subject,
        details=judgment.details if judgment is not None else None,
    )


def _deny_as_judged(
    snapshot: Snapshot,
    compiled: CompiledRoute,
    caller: Principal,
    combined: Decision,
    judgment: Judgment,
    *,
    anonymous: bool,
) -> Decision:
    reason = denial_reason(judgment, anonymous=anonymous)
    denial = _deny(snapshot, reason, compiled, caller, combined)
    if reason is not Reason.DENIED_BY_POLICY:
        return denial
    return replace(denial, policies=(compiled.route.allow[0].id,), details=judgment.details)


def _preflight(request: AccessRequest, snapshot: Snapshot, owner: Owner[CompiledRoute]) -> Decision | None:
    """A CORS preflight that passes without credentials or rules (Fetch standard, section 3.2.2), else None."""
    origin = request.header_values("origin")
    method = request.header_values("access-control-request-method")
    if len(origin) != 1 or len(method) != 1:
        return None
    compiled = owner.for_method(method[0])
    if compiled is None or not _lists_origin(compiled.route.cors_origins, origin[0]):
        return None
    policies = (PolicyId(f"{compiled.route.name}.cors"),)
    return Decision(
        Effect.ALLOW, policies, (), Reason.PREFLIGHT, compiled.route.name, upstream=snapshot.nothing_upstream
    )


def _lists_origin(origins: Sequence[str], origin: str) -> bool:
    return origin in origins or "*" in origins


def _deny(
    snapshot: Snapshot,
    reason: Reason,
    compiled: CompiledRoute | None = None,
    caller: Principal = ANONYMOUS,
    combined: Decision | None = None,
    scopes: Sequence[str] = (),
) -> Decision:
    return Decision(
        Effect.DENY,
        combined.policies if combined else (),
        combined.errors if combined else (),
        reason,
        compiled.route.name if compiled else None,
        challenge=challenge_for(snapshot.policy_set.responses, reason, scopes),
        provider=caller.provider,
        subject=caller.subject,
    )
