"""What an allowed request carries on, as instructions (`runtime/upstream.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extauthz.lowering.callers import Caller
from extauthz.lowering.ext_authz import stripped_headers
from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.conditions import Note, captured
from extauthz.lowering.wasm.emitter import UNKNOWN, Code, Emitter, constant
from extauthz.lowering.wasm.rules import RuleEmitter
from extauthz.lowering.wasm.runtime.layout import ERROR, LEFT, NULL
from extauthz.model.policy import Authentication, PolicySet, Route, TemplatePart
from extauthz.pdp.upstream import UpstreamRenderer

_FIRST_VALUE = 1
"""The first local that holds a header's value; the one before is for operators."""


@dataclass(frozen=True, slots=True)
class AllowingAnswers:
    """What an allow can come to, as addresses of answers."""

    allowed: int
    invalid: int
    """A value that no header can carry."""


class UpstreamEmitter:
    """The header changes of one route, for one kind of caller."""

    def __init__(
        self, emitter: Emitter, policy_set: PolicySet, route: Route, caller: Caller, rules: RuleEmitter, note: Note
    ) -> None:
        self._emitter = emitter
        self._set = policy_set
        self._route = route
        self._caller = caller
        self._rules = rules
        self._note = note

    def function(self, answers: AllowingAnswers) -> int:
        """A function that makes the changes, and answers; it changes nothing unless it allows."""
        templates = [(h.name, h.template) for h in self._route.upstream_headers if h.template is not None]
        body = b""
        for number, (_, template) in enumerate(templates):
            body += self._value(template) + wasm.set_local(_FIRST_VALUE + number)
        for value, answer in ((ERROR, answers.invalid), (LEFT, 0)):
            for number in range(len(templates)):
                is_value = wasm.get_local(_FIRST_VALUE + number) + constant(value) + wasm.EQUAL
                body += wasm.if_(is_value, constant(answer) + wasm.RETURN)
        for number, (name, _) in enumerate(templates):
            value_code = wasm.get_local(_FIRST_VALUE + number)
            body += self._emitter.call("set_header", self._emitter.data.text(name), value_code)
        renderer = UpstreamRenderer(self._route.upstream_headers, self._set.owned_headers)
        body += removals(self._emitter, self._set, renderer)
        return self._emitter.function(body + constant(answers.allowed), 1 + len(templates))

    def _value(self, template: Sequence[TemplatePart]) -> Code:
        whole = self._piece(template[0])
        for part in template[1:]:
            whole = self._emitter.call("joined", whole, self._piece(part))
        return self._emitter.call("checked", whole)

    def _piece(self, part: TemplatePart) -> Code:
        data, provider = self._emitter.data, self._caller.provider
        if not part.path:
            return constant(data.text(part.text) if part.text else NULL)
        match part.path:
            case ("path", name):
                if name not in self._route.path.variables:
                    return constant(NULL)
                return self._emitter.call("absent_when_empty", captured(self._emitter, self._route, name))
            case ("principal", "roles"):
                return self._roles()
            case _ if provider is None:
                return constant(NULL)
            case ("principal", "subject"):
                return self._emitter.call("subject", data.texts(provider.claims.subject.keys))
            case ("principal", "provider"):
                return constant(data.text(provider.name))
            case ("claims", *keys):
                return self._emitter.call("claim_piece", data.texts(keys))
            case path:
                self._note(f"a module does not write {'.'.join(path)}")
                return UNKNOWN

    def _roles(self) -> Code:
        if self._caller.provider is None and self._route.authentication is not Authentication.NONE:
            return constant(NULL)
        whole = constant(NULL)
        for name in sorted(self._set.roles):
            holds = self._rules.role([name], self._note)
            whole = self._emitter.call("with_role", whole, holds, self._emitter.data.text(name))
        return whole


def removals(emitter: Emitter, policy_set: PolicySet, renderer: UpstreamRenderer) -> bytes:
    """Remove what is not removed from every request before; instructions without a value."""
    left = [name for name in renderer.removals.remove if name not in stripped_headers(policy_set)]
    return b"".join(emitter.call("remove_header", emitter.data.text(name)) for name in left)
