"""Rules as instructions that come to true (satisfied), false (unsatisfied), an error, or left.

CEL's `&&` is the law within a rule, its `||` the law over the values of a key: the same instructions serve both.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from extauthz.lowering.callers import Caller
from extauthz.lowering.formula import NotExactError
from extauthz.lowering.wasm.conditions import ConditionEmitter, Note
from extauthz.lowering.wasm.emitter import UNKNOWN, Code, Emitter, truth
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Binding,
    BindingSubject,
    ConditionKey,
    GroupIs,
    Network,
    PolicySet,
    ProviderIs,
    RemoteIpIs,
    RoleIs,
    Route,
    Rule,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)
from extauthz.model.provider import ClaimPath, Provider

_MAPPED = bytes(10) + b"\xff\xff"
"""How the IPv6 addresses of IPv4 begin."""

OnBinding = Callable[[Binding, str | None], None]
"""Told of each binding that a rule depends on, and why it is not exact where it is not."""


class RuleEmitter:
    """The rules of one route, for one kind of caller."""

    def __init__(
        self, emitter: Emitter, policy_set: PolicySet, route: Route, caller: Caller, on_binding: OnBinding
    ) -> None:
        self._emitter = emitter
        self._set = policy_set
        self._route = route
        self._caller = caller
        self._on_binding = on_binding
        self._conditions = ConditionEmitter(emitter, route, caller, self._holds)

    def rule(self, rule: Rule, note: Note) -> Code:
        """The rule's conditions together, for a `require` too."""
        return self._emitter.all_of([self._condition(key, note) for key in rule.conditions])

    def besides_scopes(self, rule: Rule, note: Note) -> Code:
        """The rule's conditions but for its scopes."""
        others = tuple(key for key in rule.conditions if not isinstance(key, ScopeIs))
        return self.rule(replace(rule, conditions=others), note)

    def role(self, wanted: Collection[str], note: Note) -> Code:
        """Whether the caller holds one of the roles."""
        granting = [b for b in self._set.bindings if self._set.roles[b.role].closure & frozenset(wanted)]
        if self._route.authentication is Authentication.NONE:
            return self._emitter.any_of([self._bound_workload(binding, note) for binding in granting])
        if self._caller.provider is None:
            return truth(holds=False)
        claiming = [name for name, role in self._set.roles.items() if role.closure & frozenset(wanted)]
        claimed = self._asserted(lambda p: p.claims.roles, claiming, lambda p: p.may_assert.roles)
        return self._emitter.any_of([claimed, *(self._bound(binding, note) for binding in granting)])

    def _condition(self, key: ConditionKey, note: Note) -> Code:  # noqa: PLR0911 - one for each key
        provider = self._caller.provider
        match key:
            case Anyone():
                return truth(holds=True)
            case Authenticated():
                return truth(provider is not None)
            case ProviderIs(providers=names):
                return truth(provider is not None and provider.name in names)
            case RoleIs(roles=roles):
                return self.role(roles, note)
            case ScopeIs(scopes=scopes):
                return self._scope(scopes)
            case GroupIs(groups=groups):
                return self._group(groups)
            case SubjectIs(subjects=subjects):
                return self._subject(subjects)
            case RemoteIpIs(networks=networks, direct=direct):
                return self._emitter.call("is_remote", networks_table(self._emitter, networks), int(direct))
            case WorkloadIs(workloads=workloads):
                return self._workload(workloads)
            case When(condition=condition):
                return self._conditions.condition(condition, note)
            case _:
                note("only the authorizer evaluates it")
                return UNKNOWN

    # --- What the token asserts ---

    def _asserted(
        self,
        paths: Callable[[Provider], Iterable[ClaimPath]],
        wanted: Iterable[str],
        allowed: Callable[[Provider], Collection[str] | None],
        *,
        in_words: bool = False,
    ) -> Code:
        """Whether the token claims one of what is wanted, and its provider may assert that."""
        provider = self._caller.provider
        if provider is None:
            return truth(holds=False)
        limit = allowed(provider)
        believed = sorted(value for value in set(wanted) if limit is None or value in limit)
        if not believed:
            return truth(holds=False)
        texts = self._emitter.data.texts(believed)
        return self._emitter.any_of(
            [
                self._emitter.call("asserts", self._emitter.data.texts(path.keys), texts, int(in_words))
                for path in paths(provider)
            ]
        )

    def _scope(self, scopes: Iterable[str]) -> Code:
        return self._asserted(lambda p: p.claims.scopes, scopes, lambda p: p.may_assert.scopes, in_words=True)

    def _group(self, groups: Iterable[str]) -> Code:
        return self._asserted(lambda p: p.claims.groups, groups, lambda p: p.may_assert.groups)

    def _holds(self, name: str, text: str) -> Code:
        match name:
            case "principal.groups":
                return self._group([text])
            case "principal.scopes":
                return self._scope([text])
            case _:
                return self._role_in_list(text)

    def _role_in_list(self, role: str) -> Code:
        """Whether `principal.roles` holds a role: the whole list errs while any role is in doubt."""
        if any(binding.when is not None for binding in self._set.bindings):
            raise NotExactError("it reads principal.roles, of which a binding's condition may leave one in doubt")
        return self.role([role], _never_left)

    def _subject(self, subjects: Sequence[str]) -> Code:
        provider = self._caller.provider
        if provider is None:
            return truth(holds=False)
        path = self._emitter.data.texts(provider.claims.subject.keys)
        return self._emitter.call("is_subject", path, self._emitter.data.texts(sorted(subjects)))

    # --- Bindings ---

    def _bound(self, binding: Binding, note: Note) -> Code:
        subjects = self._emitter.any_of([self._binds(s) for s in binding.subjects if s.workload is None])
        return self._emitter.all_of([subjects, self._when(binding, note)])

    def _bound_workload(self, binding: Binding, note: Note) -> Code:
        """On a route without authentication there is no principal: an item that also names one cannot hold."""
        workloads = [
            s.workload
            for s in binding.subjects
            if s.workload is not None and s.subject is None and s.group is None and s.provider is None
        ]
        if not workloads:
            return truth(holds=False)
        return self._emitter.all_of([self._workload(workloads), self._when(binding, note)])

    def _when(self, binding: Binding, note: Note) -> Code:
        self._on_binding(binding, None)
        if binding.when is None:
            return truth(holds=True)

        def note_both(reason: str) -> None:
            self._on_binding(binding, reason)
            note(f"the binding of {binding.role} at {binding.span}: {reason}")

        return self._conditions.condition(binding.when, note_both)

    def _binds(self, subject: BindingSubject) -> Code:
        provider = self._caller.provider
        if provider is None or subject.provider not in {None, provider.name}:
            return truth(holds=False)
        return self._emitter.all_of(
            [
                *([] if subject.subject is None else [self._subject([subject.subject])]),
                *([] if subject.group is None else [self._group([subject.group])]),
            ]
        )

    def _workload(self, workloads: Iterable[str]) -> Code:
        data = self._emitter.data
        patterns = sorted(set(workloads))
        return self._emitter.call(
            "is_workload",
            data.texts([f"spiffe://{domain}/" for domain in sorted(self._set.trust_domains)]),
            data.texts([pattern for pattern in patterns if not pattern.endswith("/**")]),
            data.texts([pattern.removesuffix("**") for pattern in patterns if pattern.endswith("/**")]),
        )


def _never_left(reason: str) -> None:
    raise AssertionError(f"a role without conditions is never left: {reason}")


def networks_table(emitter: Emitter, networks: Iterable[Network]) -> int:
    """How many networks there are, then each: the address in 16 octets, an IPv4 one mapped, and how many bits count.

    An IPv6 network of mapped addresses holds none, as for the authorizer: those are IPv4 addresses.
    """
    listed = [n for n in networks if isinstance(n, IPv4Network) or not _holds_mapped_alone(n)]
    return emitter.data.put(struct.pack("<i", len(listed)) + b"".join(map(_packed, listed)))


def _packed(network: Network) -> bytes:
    if isinstance(network, IPv4Network):
        return _MAPPED + network.network_address.packed + struct.pack("<i", 8 * len(_MAPPED) + network.prefixlen)
    return network.network_address.packed + struct.pack("<i", network.prefixlen)


def _holds_mapped_alone(network: IPv6Network) -> bool:
    return network.network_address.packed.startswith(_MAPPED)
