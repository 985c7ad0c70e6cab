"""What changed in meaning between two policy sets: the requests that one allows and the other denies.

Requests fall into kinds: host, path and method (`extauthz.authoring.situation`), who asks
(`extauthz.authoring.credentials`), from where (`extauthz.authoring.circumstances`), and what conditions come to
(`extauthz.authoring.truth`). Both sets decide one request of each kind, by the authorizer itself.

INVARIANT: when two sets decide some request differently, the comparison has a difference of that direction, or a
setting or a limit that says what was not compared. The converse does not hold: conditions are taken to hold or not
independently of each other, so a difference that rests on some may be one that no request shows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.circumstances import Circumstances, circumstances_of
from extauthz.authoring.credentials import Credential, Side, credentials_of
from extauthz.authoring.other_changes import Setting, other_changes
from extauthz.authoring.situation import NOW, Situation, Survey, conditions_of
from extauthz.authoring.suite import WrittenRequest
from extauthz.authoring.truth import AtomKey, BoundHitError, Steered, Truths, steer
from extauthz.authorizer import Snapshot, authorize_as, build_snapshot
from extauthz.model.access import ANONYMOUS
from extauthz.model.decision import Decision, Effect, Outcome, Reason
from extauthz.model.policy import PolicySet, Route
from extauthz.model.source import Span

MAX_DECISIONS: Final = 300_000
"""Of both sets together, about a minute's work."""
MAX_DECISIONS_PER_SITUATION: Final = 20_000
MAX_SHOWN: Final = 50
"""Smallest kinds of requests of one pair of routes and direction."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a condition is taken to come to."""

    text: str
    outcome: Outcome
    span: Span


@dataclass(frozen=True, slots=True)
class Answer:
    """What a set says."""

    effect: Effect
    why: str
    route: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A kind of request that the sets decide differently, by an example."""

    request: WrittenRequest
    credential: Credential | None
    """None: nobody's."""
    assumptions: tuple[Assumption, ...]
    """What conditions have to come to for it."""
    old: Answer
    new: Answer
    methods: tuple[str, ...]
    """With which it is the same, the example's first."""
    places: int
    """On how many kinds of paths the same routes decide."""
    alike: int
    """How many kinds of requests differ likewise for these reasons and more."""

    @property
    def is_widening(self) -> bool:
        return self.new.effect is Effect.ALLOW


@dataclass(frozen=True, slots=True)
class Unshared:
    """A part of a condition that only one of the sets has: it may hold or not, whatever the other's conditions do."""

    text: str
    span: Span
    is_new: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that is to be said about two sets."""

    old: PolicySet
    new: PolicySet
    differences: tuple[Difference, ...]
    """DENY -> ALLOW first."""
    settings: tuple[Setting, ...]
    limits: tuple[str, ...]
    """What was not gone through to the end."""
    unshared: tuple[Unshared, ...]
    paths: int
    """Kinds of paths that there are."""
    situations: int
    """Pairs of routes that were compared, request by request; the others are the same as they are written."""
    decisions: int

    @property
    def is_same(self) -> bool:
        """Whether the sets decide every request alike, for certain."""
        return not (self.differences or self.settings or self.limits)

    @property
    def may_widen(self) -> bool:
        """Whether something is allowed that was not, or that cannot be excluded."""
        return (
            any(difference.is_widening for difference in self.differences)
            or any(setting.may_widen for setting in self.settings)
            or bool(self.limits)
        )


def compare(
    old: PolicySet,
    new: PolicySet,
    *,
    max_decisions: int = MAX_DECISIONS,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Compare two sets.

    Args:
        old: the set as it was.
        new: the set as it would be.
        max_decisions: how much work may be done; what is left over then becomes a limit of the comparison.
        on_progress: told how many of how many situations are done.
    """
    truths = Truths(max_decisions)
    sides = [build_snapshot(steer(each, truths), KeySets(), VerifiedTokens()) for each in (old, new)]
    survey = Survey(*sides)
    situations = survey.situations()
    found: list[Difference] = []
    limits = [f"paths of host {host}: there are too many kinds of them" for host in survey.hosts_cut]
    for number, situation in enumerate(situations):
        on_progress(number, len(situations))
        try:
            found.extend(_Examination(situation, sides, truths, same_besides=survey.same_besides).differences())
        except BoundHitError:
            limits.append(f"{_place(situation)}: there are too many kinds of requests")
    on_progress(len(situations), len(situations))
    return Comparison(
        old,
        new,
        tuple(sorted(found, key=lambda difference: not difference.is_widening)),
        tuple(other_changes(old, new, [situation.pair for situation in situations])),
        tuple(limits),
        tuple(_unshared(sides, truths)),
        survey.paths,
        len(situations),
        max_decisions - truths.decisions_left,
    )


def _place(situation: Situation) -> str:
    request = situation.request
    return f"{'|'.join(situation.methods)} {request.host}{request.target}"


@dataclass(slots=True)
class _Kind:
    """A kind of request, told by what it has beyond the least."""

    features: frozenset[Hashable]
    request: WrittenRequest
    credential: Credential | None
    assigned: Mapping[AtomKey, Outcome]
    alike: int = 0


class _Examination:
    """Both sets decide every kind of request of one situation."""

    def __init__(
        self, situation: Situation, snapshots: Sequence[Snapshot], truths: Truths, *, same_besides: bool
    ) -> None:
        pair = situation.pair
        self._situation = situation
        self._snapshots = snapshots
        self._truths = truths
        routes = [pair.old, pair.new]
        self._reads = frozenset(
            path[0]
            for snapshot, route in zip(snapshots, routes, strict=True)
            if route is not None
            for condition in conditions_of(snapshot.policy_set, route)
            for path in condition.reads
        )
        reads_roles = "principal.roles" in self._reads
        puts_roles = any(_puts_roles(route) for route in routes)
        questions = tuple(_role_questions(snapshots, reads=reads_roles and not same_besides, puts=puts_roles))
        self._sides = [
            Side(snapshot.policy_set, route, questions, reads_roles or puts_roles)
            for snapshot, route in zip(snapshots, routes, strict=True)
        ]
        self._kinds: dict[Effect, list[_Kind]] = {Effect.ALLOW: [], Effect.DENY: []}

    def differences(self) -> Iterator[Difference]:
        """The smallest kinds that differ.

        Raises:
            BoundHitError: after those that were found, when not all kinds were gone through.
        """
        hit: BoundHitError | None = None
        try:
            self._go_through()
        except BoundHitError as error:
            hit = error
        for kinds in self._kinds.values():
            for kind in kinds[:MAX_SHOWN]:
                yield self._difference(kind)
        if hit is not None:
            raise hit

    def _go_through(self) -> None:
        credentials = credentials_of(self._sides, any_subject="principal.subject" in self._reads)
        circumstances = circumstances_of(self._sides)
        left = MAX_DECISIONS_PER_SITUATION
        for around in circumstances:
            request = _under(self._situation.request, around)
            for credential in credentials:
                if self._situation.pair.is_preflight and any(self._kinds.values()):
                    return  # one set lets it pass, whoever asks
                before = self._truths.decisions_left
                decide = self._decider(request, credential)
                for assigned, (old, new) in self._truths.explore(decide, left):
                    if old is not new:
                        self._keep(_Kind(_features(around, credential, assigned), request, credential, assigned), new)
                left -= before - self._truths.decisions_left

    def _decider(self, request: WrittenRequest, credential: Credential | None) -> Callable[[], tuple[Effect, Effect]]:
        def decide() -> tuple[Effect, Effect]:
            old, new = self._answers(request, credential)
            return old.effect, new.effect

        return decide

    def _answers(self, request: WrittenRequest, credential: Credential | None) -> tuple[Answer, Answer]:
        old, new = (
            _answer(request, snapshot, side, credential)
            for snapshot, side in zip(self._snapshots, self._sides, strict=True)
        )
        return old, new

    def _keep(self, kind: _Kind, new: Effect) -> None:
        """Among the smallest kinds, unless one that is known says as much with less."""
        kinds = self._kinds[new]
        for known in kinds:
            if known.features <= kind.features:
                known.alike += 1
                return
        smaller = [known for known in kinds if not kind.features <= known.features]
        kind.alike = sum(1 + known.alike for known in kinds) - sum(1 + known.alike for known in smaller)
        kinds[:] = [*smaller, kind]

    def _difference(self, kind: _Kind) -> Difference:
        decide = self._decider(kind.request, kind.credential)
        result = self._truths.under(kind.assigned, decide)
        assumptions = [
            Assumption(atom.text, outcome, atom.span)
            for key, outcome in kind.assigned.items()
            if self._truths.matters(key, kind.assigned, decide, result)
            for atom in [self._truths.atoms[key]]
        ]
        old, new = self._truths.under(kind.assigned, lambda: self._answers(kind.request, kind.credential))
        return Difference(
            kind.request,
            kind.credential,
            tuple(assumptions),
            old,
            new,
            tuple(self._situation.methods),
            len(self._situation.places),
            kind.alike,
        )


def _answer(request: WrittenRequest, snapshot: Snapshot, side: Side, credential: Credential | None) -> Answer:
    """As the authorizer decides for whom the route takes the caller."""
    caller = ANONYMOUS
    if credential is not None and side.looks_at_credentials:
        principal = side.principal(credential)
        if principal is None:
            preflight = authorize_as(request, snapshot, NOW, ANONYMOUS)
            if preflight.reason is not Reason.PREFLIGHT:
                return Answer(
                    Effect.DENY, "the credential does not count here", side.route.name if side.route else None
                )
            return _told(preflight)
        caller = principal
    return _told(authorize_as(request, snapshot, NOW, caller))


def _told(decision: Decision) -> Answer:
    rules = f" ({', '.join(decision.policies)})" if decision.policies else ""
    return Answer(decision.effect, f"{decision.reason}{rules}", decision.route)


def _under(request: WrittenRequest, around: Circumstances) -> WrittenRequest:
    headers = request.headers
    if around.forwarded_for:
        headers = (*headers, ("x-forwarded-for", around.forwarded_for))
    return replace(request, headers=headers, source_address=around.source, peer_identity=around.workload)


def _features(
    around: Circumstances, credential: Credential | None, assigned: Mapping[AtomKey, Outcome]
) -> frozenset[Hashable]:
    found: set[Hashable] = {
        (name, value) for name in ("workload", "source", "forwarded_for") if (value := getattr(around, name))
    }
    if credential is not None:
        found |= {("provider", credential.provider), ("subject", credential.subject), ("key", credential.api_key)}
        for name in ("roles", "groups", "scopes"):
            found |= {(name, value) for value in getattr(credential, name)}
    found |= {(key, outcome) for key, outcome in assigned.items() if outcome is not Outcome.UNSATISFIED}
    return frozenset(found)


def _puts_roles(route: Route | None) -> bool:
    headers = () if route is None else route.upstream_headers
    return any(part.path == ("principal", "roles") for header in headers for part in header.template or ())


def _role_questions(snapshots: Sequence[Snapshot], *, reads: bool, puts: bool) -> Iterator[frozenset[str]]:
    """What else matters of roles: each of them where they are read; where they are put upstream, which cannot be."""
    for policy_set in (snapshot.policy_set for snapshot in snapshots):
        roles = policy_set.roles
        if reads:
            yield from (frozenset({role}) for role in roles)
        if puts:
            in_doubt = {role for b in policy_set.bindings if b.when is not None for role in roles[b.role].closure}
            yield from (frozenset({role}) for role in sorted(in_doubt))
            yield frozenset(role for role in roles if "," in role or not role.isascii())


def _unshared(sides: Sequence[Snapshot], truths: Truths) -> Iterator[Unshared]:
    """The atoms that had a say, and that only one of the sets has."""
    old, new = (
        frozenset(
            expression
            for route in side.policy_set.routes
            for condition in conditions_of(side.policy_set, route)
            if isinstance(condition, Steered)
            for expression in condition.expressions
        )
        for side in sides
    )
    told = {
        (atom.text, atom.span, key[0] in new)
        for key, atom in truths.atoms.items()
        if (key[0] in old) is not (key[0] in new)
    }
    return (Unshared(*each) for each in sorted(told))
