"""Bindings: which callers have which roles, and under which condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from extauthz.languages.cel import CelCondition
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.conditions import Conditions
from extauthz.languages.policy_yaml.language import BindingSubjectText, BindingText
from extauthz.languages.policy_yaml.networks import read_workloads
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.policy import Binding, BindingSubject, Role

IDENTITY_READS = frozenset({"claims", "principal.subject"})
"""What a condition reads that means something only together with the provider that said it."""


class BindingReader:
    """Reads the bindings of a set."""

    def __init__(
        self,
        roles: Mapping[str, Role],
        providers: Sequence[str],
        trust_domains: Sequence[str],
        conditions: Conditions,
        report: Report,
    ) -> None:
        self._roles = roles
        self._providers = providers
        self._trust_domains = trust_domains
        self._conditions = conditions
        self._report = report
        self.compiled: list[tuple[CelCondition, Scalar]] = []
        """The conditions of all bindings with where they are written."""

    def read(self, written: Iterable[BindingText]) -> tuple[Binding, ...]:
        """The bindings that could be read; what is wrong with the others is reported."""
        bindings = [self._binding(binding) for binding in written]
        return tuple(binding for binding in bindings if binding is not None)

    def _binding(self, written: BindingText) -> Binding | None:
        role = written.role
        if role is not None and role.text not in self._roles:
            self._report.unknown(Code.UNKNOWN_ROLE, role, "role", self._roles)
        provider = self._provider(written.provider)
        subjects = self._subjects(written, provider)
        when = self._when(written, subjects)
        if role is None or role.text not in self._roles or not subjects:
            return None
        return Binding(role.text, subjects, when, written.node.span)

    def _provider(self, written: Scalar | None) -> str | None:
        if written is None:
            return None
        if written.text not in self._providers:
            self._report.unknown(Code.UNKNOWN_PROVIDER, written, "provider", self._providers)
        return written.text

    def _subjects(self, written: BindingText, provider: str | None) -> tuple[BindingSubject, ...]:
        if written.subjects is not None:
            return tuple(self._subject(subject, written, provider) for subject in written.subjects)
        if written.wrote("subjects"):
            return ()
        if provider is None and len(self._providers) == 1 and written.wrote("when"):
            # Whoever the one provider vouches for: never an anonymous caller.
            provider = self._providers[0]
        if provider is None:
            message = "the binding does not say whom it gives the role"
            self._report.error(
                Code.BINDING, written.owner, message, "write `subjects`, or `provider` for all its callers"
            )
            return ()
        return (BindingSubject(provider=provider),)

    def _subject(self, written: BindingSubjectText, binding: BindingText, outer: str | None) -> BindingSubject:
        if not written.node.entries:
            self._report.error(Code.BINDING, written.owner, "an empty item would bind everybody")
        provider = self._provider(written.provider) or outer
        if written.provider is not None and outer is not None and provider != outer:
            message = f"the binding is for callers of {quoted(outer)}"
            self._report.error(Code.BINDING, written.provider, message, "write the provider once")
        names_person = written.wrote("subject") or written.wrote("group")
        if written.wrote("workload"):
            self._check_workload_alone(written, binding)
        elif names_person and provider is None and len(self._providers) > 1:
            message = "a subject or group means something only together with its provider"
            hint = f"add `provider`: there are {', '.join(self._providers)}"
            self._report.error(Code.IDENTITY_AMBIGUOUS, written.owner, message, hint)
        elif names_person and not self._providers:
            message = "the set has no provider, so nobody has a subject or group"
            self._report.error(Code.NO_PROVIDER, written.owner, message, "declare one under `providers`")
        workload = written.workload
        if workload is not None:
            read_workloads([workload], self._trust_domains, self._report)
        return BindingSubject(
            subject=written.subject.text if written.subject is not None else None,
            group=written.group.text if written.group is not None else None,
            provider=provider if workload is None else None,
            workload=workload.text if workload is not None else None,
        )

    def _check_workload_alone(self, written: BindingSubjectText, binding: BindingText) -> None:
        if len(written.node.entries) > 1 or binding.wrote("provider"):
            message = "a workload is bound where authentication is none, so nothing else can be asked of it"
            self._report.error(Code.BINDING, written.place("workload"), message, "give the workload an item of its own")

    def _when(self, written: BindingText, subjects: Sequence[BindingSubject]) -> CelCondition | None:
        if written.when is None:
            return None
        condition = self._conditions.compile(written.when)
        if condition is None:
            return None
        self.compiled.append((condition, written.when))
        reads = {path[0] for path in condition.reads}
        if "principal.roles" in reads:
            message = "a binding's condition cannot read principal.roles: it helps to decide them"
            self._report.error(Code.BINDING_READS_ROLES, written.when, message)
        some_open = any(subject.provider is None and subject.workload is None for subject in subjects)
        if reads & IDENTITY_READS and some_open and len(self._providers) > 1:
            message = "claims mean something only together with the provider that says them"
            hint = f"add `provider`: there are {', '.join(self._providers)}"
            self._report.error(Code.IDENTITY_AMBIGUOUS, written.when, message, hint)
        return condition
