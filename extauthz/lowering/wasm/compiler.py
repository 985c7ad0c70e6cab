"""A policy set into a module, with a report of what it decides and what it leaves.

For each route and kind of caller one function: every deny and require in order, then every allow. The first that
decides for certain does; where one that might is left, so is the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from extauthz.lowering import callers
from extauthz.lowering.callers import ANONYMOUS, ANYBODY, Caller, Places, caller_of
from extauthz.lowering.formula import Formula, NotExactError
from extauthz.lowering.jwt_authn import payload_key, refuse_inexact
from extauthz.lowering.plan import Item, Verdict
from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.answers import Answers
from extauthz.lowering.wasm.emitter import OPERAND, Code, Emitter, constant
from extauthz.lowering.wasm.rules import RuleEmitter, networks_table
from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, TRUE, Cell, Configured, Option
from extauthz.lowering.wasm.tables import readers_table, route_record, route_tables
from extauthz.lowering.wasm.upstream_headers import AllowingAnswers, UpstreamEmitter, removals
from extauthz.model.decision import Reason
from extauthz.model.policy import (
    Authentication,
    Binding,
    OnAmbiguity,
    PathSettings,
    PolicySet,
    RemoteIpIs,
    Route,
    Rule,
    RuleKind,
    ScopeIs,
    TrailingSlash,
    When,
)
from extauthz.model.provider import Provider
from extauthz.model.source import Span
from extauthz.pdp.upstream import UpstreamRenderer

_LEFT_SEEN = 1
"""The locals of a route's function, besides that of operators."""
_ERROR_SEEN = 2
_LOCALS = 3


@dataclass(frozen=True, slots=True)
class WasmPlan:
    """A policy set as a module, and what of it the module decides."""

    policy_set: PolicySet
    items: tuple[Item, ...]
    providers: tuple[Provider, ...]
    """Whose tokens Envoy verifies as we do."""
    caller_policies: Mapping[str, Formula]
    """For the filter in front of the module that finds out who the caller is."""
    module: bytes
    reads_addresses: bool
    """Whether a filter in front of the module is to write down where the connection comes from."""

    @property
    def residual(self) -> tuple[Item, ...]:
        """What is left to the authorizer."""
        return tuple(item for item in self.items if item.verdict is Verdict.RESIDUAL)


def compile_module(policy_set: PolicySet, *, has_authorizer: bool = True) -> WasmPlan:
    """Compile a policy set.

    Args:
        policy_set: what is to be decided.
        has_authorizer: whether what is left is asked of it; without one it is denied.
    """
    return _Compiler(policy_set, has_authorizer=has_authorizer).plan()


class _Compiler:
    def __init__(self, policy_set: PolicySet, *, has_authorizer: bool) -> None:
        self._set = policy_set
        self._has_authorizer = has_authorizer
        self._items: dict[tuple[str, str], Item] = {}
        self._emitter = Emitter()
        self._answers = Answers(self._emitter.data, policy_set.responses)
        self._providers = tuple(provider for provider in policy_set.providers if self._is_exact(provider))
        for api_keys in policy_set.api_key_providers:
            self._note("provider", api_keys.name, api_keys.span, "API keys are looked up by their hash")
        for binding in policy_set.bindings:
            self._note_binding(binding, None)

    def plan(self) -> WasmPlan:
        records = {route.name: self._route(route) for route in self._set.routes}
        data = self._emitter.data
        configured = {**route_tables(data, self._set.routes, records), **self._configured()}
        places = Places(self._set)
        verified = {f"provider_{p.name}": callers.is_vouched_for(p, places) for p in self._providers}
        return WasmPlan(
            policy_set=self._set,
            items=tuple(self._items[key] for key in sorted(self._items)),
            providers=self._providers,
            caller_policies={callers.ANONYMOUS_ID: callers.is_anonymous(places), **verified},
            module=self._emitter.finished(configured),
            reads_addresses=_reads_addresses(self._set),
        )

    def _configured(self) -> Mapping[Configured, int]:
        deny, data = self._answers.deny, self._emitter.data
        proxies = self._set.trusted_proxies
        nobody = (data.text(callers.ANONYMOUS_ID), 0, 0)
        known = [
            (data.text(f"provider_{p.name}"), data.text(payload_key(p)), int(p.name in self._set.default_providers))
            for p in self._providers
        ]
        return {
            Configured.BITS: path_options(self._set.paths),
            Configured.PROVIDERS: data.numbers((1 + len(known), *nobody, *(n for row in known for n in row))),
            Configured.PATH_AMBIGUOUS: deny(Reason.PATH_AMBIGUOUS),
            Configured.HOST_INVALID: deny(Reason.HOST_INVALID),
            Configured.CREDENTIAL_MISSING: deny(Reason.CREDENTIAL_MISSING),
            Configured.NO_ROUTE: deny(Reason.NO_ROUTE),
            Configured.PREFLIGHT: self._emitter.module.table_index(self._preflight()),
            # Without an authorizer: how it would mostly answer.
            Configured.CALLER_UNKNOWN: 0 if self._has_authorizer else deny(Reason.TOKEN_MALFORMED),
            Configured.LEFT: 0 if self._has_authorizer else deny(Reason.NO_MATCHING_ALLOW),
            Configured.READERS: readers_table(data, self._set.routes),
            Configured.TRUSTED_PROXIES: networks_table(self._emitter, proxies) if proxies else 0,
        }

    def _preflight(self) -> int:
        renderer = UpstreamRenderer((), self._set.owned_headers)
        body = removals(self._emitter, self._set, renderer)
        return self._emitter.function(body + constant(self._answers.allow(Reason.PREFLIGHT)))

    # --- Routes ---

    def _route(self, route: Route) -> int:
        """The address of the route's record."""
        self._note("route", route.name, route.span, None)
        if route.cors_origins:
            self._note("preflight", f"{route.name}.cors", route.span, None)
        table = self._emitter.module.table_index
        functions = [
            0 if caller is None else 1 + table(self._function(route, caller)) for caller in self._callers(route)
        ]
        return route_record(self._emitter.data, route, functions)

    def _callers(self, route: Route) -> list[Caller | None]:
        """Each kind of caller by its number; None: what the route makes of it is left."""
        if route.authentication is Authentication.NONE:
            return [ANYBODY]
        nobody = ANONYMOUS if route.authentication is Authentication.OPTIONAL else None
        return [nobody, *(caller_of(p) if p.name in route.providers else None for p in self._providers)]

    def _function(self, route: Route, caller: Caller) -> int:
        """What the route makes of one kind of caller: the address of an answer, 0 for what is left."""
        rules = RuleEmitter(self._emitter, self._set, route, caller, self._note_binding)
        body = b"".join(self._opposing(rule, rules) for rule in (*route.deny, *route.require))
        if route.deny or route.require:
            body += wasm.if_(wasm.get_local(_LEFT_SEEN), constant(0) + wasm.RETURN)
        allowed = self._allowed(route, caller, rules)
        body += b"".join(self._allowing(rule, rules, allowed) for rule in route.allow)
        body += wasm.if_(wasm.get_local(_LEFT_SEEN), constant(0) + wasm.RETURN)
        if route.authentication is Authentication.OPTIONAL and caller is ANONYMOUS:
            return self._emitter.function(body + constant(self._answers.deny(Reason.CREDENTIAL_MISSING)), _LOCALS)
        erred = constant(self._answers.deny(Reason.EVALUATION_ERROR)) + wasm.RETURN
        body += wasm.if_(wasm.get_local(_ERROR_SEEN), erred)
        body += b"".join(self._challenge(rule, rules) for rule in route.allow)
        return self._emitter.function(body + constant(self._answers.deny(Reason.NO_MATCHING_ALLOW)), _LOCALS)

    def _opposing(self, rule: Rule, rules: RuleEmitter) -> Code:
        """A deny or require: unless it is certain that it does not deny, the request is denied or left."""
        passes, fails = (
            (FALSE, Reason.DENIED_BY_POLICY) if rule.kind is RuleKind.DENY else (TRUE, Reason.REQUIREMENT_FAILED)
        )
        erred = self._deciding(rule) + constant(self._answers.deny(Reason.EVALUATION_ERROR)) + wasm.RETURN
        failed = self._deciding(rule) + constant(self._answers.deny(fails)) + wasm.RETURN
        left = constant(1) + wasm.set_local(_LEFT_SEEN)
        denies = wasm.if_(
            _operand_is(LEFT), left, wasm.if_(_operand_is(TRUE if passes == FALSE else FALSE), failed, erred)
        )
        value = rules.rule(rule, self._noting(rule)) + wasm.set_local(OPERAND)
        return value + wasm.if_(_operand_is(passes), b"", denies)

    def _allowing(self, rule: Rule, rules: RuleEmitter, allowed: int) -> Code:
        value = rules.rule(rule, self._noting(rule)) + wasm.set_local(OPERAND)
        allows = wasm.if_(_operand_is(TRUE), self._deciding(rule) + wasm.call(allowed) + wasm.RETURN)
        left = wasm.if_(_operand_is(LEFT), constant(1) + wasm.set_local(_LEFT_SEEN))
        erred = wasm.if_(_operand_is(ERROR), constant(1) + wasm.set_local(_ERROR_SEEN))
        return value + allows + left + erred

    def _challenge(self, rule: Rule, rules: RuleEmitter) -> Code:
        """Where a scope alone is what the rule lacks, the challenge names it."""
        scopes = [key.scopes for key in rule.conditions if isinstance(key, ScopeIs)]
        if not scopes:
            return b""
        others = rules.besides_scopes(rule, self._noting(rule)) + wasm.set_local(OPERAND)
        answer = constant(self._answers.deny(Reason.INSUFFICIENT_SCOPE, scopes[-1])) + wasm.RETURN
        left = wasm.if_(_operand_is(LEFT), constant(0) + wasm.RETURN)
        return others + left + wasm.if_(_operand_is(TRUE), answer)

    def _allowed(self, route: Route, caller: Caller, rules: RuleEmitter) -> int:
        def note(reason: str) -> None:
            self._note("upstream_headers", f"{route.name}.upstream_headers", route.span, reason)

        if route.upstream_headers:
            self._note("upstream_headers", f"{route.name}.upstream_headers", route.span, None)
        answers = AllowingAnswers(
            self._answers.allow(Reason.ALLOWED), self._answers.deny(Reason.UPSTREAM_HEADER_INVALID)
        )
        return UpstreamEmitter(self._emitter, self._set, route, caller, rules, note).function(answers)

    def _deciding(self, rule: Rule) -> bytes:
        """Remember the rule that decides; instructions without a value."""
        return constant(Cell.POLICY) + constant(self._emitter.data.text(rule.id)) + wasm.STORE_32

    # --- The report ---

    def _is_exact(self, provider: Provider) -> bool:
        self._note("provider", provider.name, provider.span, None)
        try:
            refuse_inexact(provider)
        except NotExactError as error:
            self._note("provider", provider.name, provider.span, str(error))
            return False
        return True

    def _noting(self, rule: Rule) -> Callable[[str], None]:
        self._note(str(rule.kind), rule.id, rule.span, None)
        return lambda reason: self._note(str(rule.kind), rule.id, rule.span, reason)

    def _note_binding(self, binding: Binding, reason: str | None) -> None:
        self._note("binding", f"{binding.role} at {binding.span}", binding.span, reason)

    def _note(self, kind: str, item_id: str, span: Span | None, reason: str | None) -> None:
        item = self._items.setdefault((kind, item_id), Item(kind, item_id, span, enforced=Verdict.WASM))
        if reason is not None:
            item.reasons[reason] = None


def _operand_is(value: int) -> Code:
    return wasm.get_local(OPERAND) + constant(value) + wasm.EQUAL


def _reads_addresses(policy_set: PolicySet) -> bool:
    rules = (rule for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow))
    keys = [key for rule in rules for key in rule.conditions]
    conditions = [key.condition for key in keys if isinstance(key, When)]
    conditions += [binding.when for binding in policy_set.bindings if binding.when is not None]
    by_condition = any(("source.address",) in condition.reads for condition in conditions)
    return by_condition or any(isinstance(key, RemoteIpIs) for key in keys)


def path_options(paths: PathSettings) -> int:
    """How paths are read, as the runtime's bits."""
    kept = {
        Option.KEEP_ENCODED_SLASH: paths.encoded_slash,
        Option.KEEP_DOUBLE_ENCODING: paths.double_encoding,
        Option.KEEP_REPEATED_SLASH: paths.repeated_slash,
        Option.KEEP_DOT_SEGMENTS: paths.dot_segments,
        Option.KEEP_PARAMETERS: paths.parameters,
    }
    bits = sum(option for option, verdict in kept.items() if verdict is OnAmbiguity.KEEP)
    return bits | (Option.TRAILING_SLASH_DISTINCT if paths.trailing_slash is TrailingSlash.DISTINCT else 0)
