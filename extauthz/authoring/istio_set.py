"""A policy set that decides as Istio's policies for one workload do, with a report of what it does not express.

Istio's law (https://istio.io/latest/docs/reference/config/security/authorization-policy/): a CUSTOM or DENY policy
that matches denies; without any ALLOW policy the rest is allowed, else one of them must match. The set has one route
for every path, and a rule of it for each of Istio's. INVARIANT: what cannot be said exactly denies, never allows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from extauthz.authoring.istio_match import Circumstances, rule_bounds
from extauthz.authoring.istio_provider import Provider, read_provider
from extauthz.authoring.istio_read import Authentication, Authorization, IstioObject
from extauthz.errors import ConfigurationError

_HEAD: Final = """\
# Made from Istio's policies of namespace {namespace} by `extauthz policy import istio`. The route stands for every path
# there is; split it into routes to have them checked, tested and lowered one by one.
version: 1
name: {name}
paths: {{trailing_slash: distinct}}
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """The workload whose policies are read."""

    namespace: str | None
    """None: the only one that there is."""
    root_namespace: str
    labels: Mapping[str, str]
    targets: frozenset[str]
    """What it is attached to, as Kind/name."""
    trust_domain: str
    hosts_without_port: bool


@dataclass(slots=True)
class Imported:
    """The set, and what is to be known of it."""

    text: str = ""
    left_out: list[str] = field(default_factory=list)
    """What is not expressed exactly, with what is done instead."""
    not_for_workload: list[str] = field(default_factory=list)
    """The objects that select other workloads."""


def import_set(objects: Sequence[Authorization | Authentication], workload: Workload) -> Imported:
    """The set for a workload.

    Raises:
        ConfigurationError: the objects do not say which workload is meant, or one is malformed.
    """
    imported = Imported()
    namespace = _namespace(objects, workload)
    chosen = [each for each in objects if _is_for(each, namespace, workload, imported)]
    providers = [
        read_provider(rule, f"{each.title}: jwtRules[{i}]", imported.left_out.append)
        for each in chosen
        if isinstance(each, Authentication)
        for i, rule in enumerate(each.jwt_rules)
    ]
    _refuse_two_of_an_issuer(providers)
    policies = [each for each in chosen if isinstance(each, Authorization)]
    imported.text = "".join(_lines(namespace, providers, policies, workload, imported.left_out.append))
    return imported


def _namespace(objects: Sequence[IstioObject], workload: Workload) -> str:
    if workload.namespace is not None:
        return workload.namespace
    found = sorted({each.namespace for each in objects} - {workload.root_namespace})
    if len(found) > 1:
        raise ConfigurationError(
            f"there are policies of several namespaces: choose by --namespace {' or '.join(found)}"
        )
    return found[0] if found else workload.root_namespace


def _is_for(each: IstioObject, namespace: str, workload: Workload, imported: Imported) -> bool:
    if each.namespace not in (namespace, workload.root_namespace):
        imported.not_for_workload.append(each.title)
        return False
    if each.targets and not workload.targets:
        raise ConfigurationError(
            f"{each.title} is for {', '.join(each.targets)}: say by --target what is meant, or none"
        )
    if each.labels and not workload.labels:
        wanted = " ".join(f"--label {name}={value}" for name, value in sorted(each.labels.items()))
        raise ConfigurationError(f"{each.title} is for some workloads only: give the workload's labels, as in {wanted}")
    fits = not each.targets or bool(workload.targets.intersection(each.targets))
    fits = fits and each.labels.items() <= workload.labels.items()
    if not fits:
        imported.not_for_workload.append(each.title)
    return fits


def _refuse_two_of_an_issuer(providers: Sequence[Provider]) -> None:
    issuers = [provider.issuer for provider in providers]
    for provider in providers:
        if issuers.count(provider.issuer) > 1:
            raise ConfigurationError(f"{provider.place}: another jwtRule has this issuer, too: make one of them")


def _lines(
    namespace: str,
    providers: Sequence[Provider],
    policies: Sequence[Authorization],
    workload: Workload,
    told: Callable[[str], None],
) -> Iterator[str]:
    yield _HEAD.format(namespace=json.dumps(namespace), name=json.dumps(f"istio-{namespace}"))
    if providers:
        yield "providers:\n"
        for number, provider in enumerate(providers):
            yield f"  # {_comment(provider.place)}\n  issuer-{number}: {json.dumps(provider.document)}\n"
    denies = [rule for provider in providers for rule in provider.denies()]
    hidden = frozenset(header for provider in providers for header in provider.hidden_headers)
    circumstances = Circumstances(workload.trust_domain, workload.hosts_without_port, hidden)
    allows: list[str] = []
    names = [f"issuer-{number}" for number in range(len(providers))]
    for policy in policies:
        written = list(_rules(policy, circumstances, names, told))
        if policy.is_enforced and policy.action == "ALLOW":
            allows += written
        else:
            denies += written
    if denies:
        yield f"deny:\n{''.join(denies)}"
    if not any(policy.action == "ALLOW" and policy.is_enforced for policy in policies):
        allows = ["  # There is no ALLOW policy: what is not denied is allowed.\n", "  - {name: all, anyone: true}\n"]
    elif not allows:
        allows = ["  # The ALLOW policies match nothing.\n", '  - {name: nobody, when: "false"}\n']
    authentication = "optional" if providers else "none"
    yield f'routes:\n  - name: all\n    path: "/**"\n    authentication: {authentication}\n    allow:\n'
    yield "".join("    " + line for rule in allows for line in rule.splitlines(keepends=True))


def _rules(
    policy: Authorization, circumstances: Circumstances, providers: Sequence[str], told: Callable[[str], None]
) -> Iterator[str]:
    if not policy.is_enforced or policy.action == "AUDIT":
        told(f"{policy.title}: it decides nothing ({'AUDIT' if policy.is_enforced else 'dry run'}), and is left out")
        return
    if policy.action == "CUSTOM":
        told(f"{policy.title}: what its provider would be asked for is denied instead")
    allows = policy.action == "ALLOW"
    for number, rule in enumerate(policy.rules):
        place = f"{policy.title}: rules[{number}]"
        lost: list[str] = []
        bounds = rule_bounds(rule, circumstances, place, lost.append)
        condition = bounds.under if allows else bounds.over
        for attribute in dict.fromkeys(lost):
            told(f"{place}: {attribute} has no exact equal: the rule {'allows less' if allows else 'denies more'}")
        if condition == "false":
            continue
        document: dict[str, object] = {"name": f"{policy.namespace}/{policy.name}[{number}]"[-200:]}
        if allows and len(providers) > 1 and "claims" in condition:
            document["provider"] = list(providers)
            told(f"{place}: with several issuers a rule on claims allows only callers with a token")
        if condition != "true":
            document["when"] = condition
        elif not allows:
            document["when"] = "true"
        elif "provider" not in document:
            document["anyone"] = True
        yield f"  # {_comment(place)}\n  - {json.dumps(document, ensure_ascii=False)}\n"


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
