"""Conditions in the words of the policy, and what a request has that they ask about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from extauthz.languages.rego.condition import RegoCondition
from extauthz.languages.rego.decision import RegoDecision
from extauthz.model.access import Facts
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    ConditionKey,
    GroupIs,
    PolicySet,
    ProviderIs,
    RemoteIpIs,
    RoleIs,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)
from extauthz.pdp.remote_ip import direct_remote_ip, remote_ip
from extauthz.pdp.workload import workload_of

_KEYS: Final = {RegoCondition: "rego", RegoDecision: "decision"}


def describe_condition(condition: ConditionKey) -> str:
    """The condition as its key and value in the policy; several values are any of them."""
    match condition:
        case Anyone() | Authenticated():
            return f"{'anyone' if isinstance(condition, Anyone) else 'authenticated'}: true"
        case RoleIs(roles=roles, permissions=permissions):
            if not permissions:
                return _any_of("role", sorted(roles))
            return f"{_any_of('permission', permissions)} (of {_any_of('role', sorted(roles))})"
        case ScopeIs(scopes=scopes):
            return _any_of("scope", scopes)
        case GroupIs(groups=groups):
            return _any_of("group", groups)
        case SubjectIs(subjects=subjects):
            return _any_of("subject", subjects)
        case ProviderIs(providers=providers):
            return _any_of("provider", providers)
        case WorkloadIs(workloads=workloads):
            return _any_of("workload", workloads)
        case RemoteIpIs(networks=networks, direct=direct):
            return _any_of("direct_remote_ip" if direct else "remote_ip", list(map(str, networks)))
        case When(condition=when):
            return f"{_KEYS.get(type(when), 'when')}: {on_one_line(when.text)}"


def on_one_line(text: str) -> str:
    """A text over several lines as one."""
    return " ".join(line.strip() for line in text.splitlines())


def _any_of(key: str, values: Sequence[str]) -> str:
    return f"{key}: {' | '.join(values) or 'none'}"


def describe_having(condition: ConditionKey, facts: Facts, policy_set: PolicySet) -> str:
    """What the request has where the condition asks; empty where a condition's parts say it."""
    principal = facts.principal
    match condition:
        case Anyone() | When():
            return ""
        case Authenticated():
            return "the caller is authenticated" if principal.authenticated else "nobody is authenticated"
        case RoleIs():
            in_doubt = _listed(sorted(facts.roles.errored))
            return f"the caller holds {_listed(sorted(facts.roles.held))}" + (
                f", in doubt are {in_doubt}" if facts.roles.errored else ""
            )
        case ScopeIs():
            return f"the token has {_listed(principal.scopes)}"
        case GroupIs():
            return f"the caller is in {_listed(principal.groups)}"
        case SubjectIs():
            return f"the caller is {principal.subject or 'nobody'}"
        case ProviderIs():
            return f"{principal.provider or 'nobody'} vouches for the caller"
        case WorkloadIs():
            identity = workload_of(facts.request, policy_set.trust_domains)
            return f"the peer is {identity or 'no workload of a trusted domain'}"
        case RemoteIpIs(direct=direct):
            request, proxies = facts.request, policy_set.trusted_proxies
            address = direct_remote_ip(request) if direct else remote_ip(request, proxies)
            return f"the address is {address or 'unknown'}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
