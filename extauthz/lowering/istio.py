"""A policy set for workloads of Istio, in one of two ways; never both for the same workload.

- `EnvoyFilter`: the filters of `--to envoy`, put into the workload's inbound side. Exact, as those are.
- `AuthorizationPolicy` with action CUSTOM: the authorizer decides each request. Istio's own filter asks it, which
  neither keeps repeated headers apart nor refuses what two readers may read in two ways; so what a request may hold is
  what Istio's gateways and sidecars let through.

Kubernetes takes either as JSON. What the API's schemas do not see is checked here (`problems_of`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import Address, TcpAddress
from extauthz.lowering.bootstrap import authorizer_cluster
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject, render
from extauthz.lowering.ext_authz import MAX_BODY_BYTES, reads_body
from extauthz.lowering.jwt_authn import key_set_clusters
from extauthz.lowering.native import NATIVE_LOG_FIELDS, Delegated, native_filters, native_local_replies
from extauthz.lowering.plan import Plan
from extauthz.lowering.report import report_document
from extauthz.model.policy import PolicySet

ENVOY_FILTER_FILE: Final = "envoy_filter.json"
CUSTOM_FILE: Final = "authorization_policy.json"
MESH_CONFIG_FILE: Final = "mesh_config.json"
"""What goes into Istio's MeshConfig for the other one: the provider that it names."""
REPORT_FILE: Final = "report.json"

PROVIDER: Final = "extauthz"

_HCM: Final = "envoy.filters.network.http_connection_manager"
_HCM_TYPE: Final = f"type.googleapis.com/{_HCM.replace('envoy.', 'envoy.extensions.')}.v3.HttpConnectionManager"
_ROUTER: Final = "envoy.filters.http.router"
_INBOUND: Final = "SIDECAR_INBOUND"
# RFC 1123, section 2.1, as Kubernetes applies it to names; labels: "Labels and Selectors", syntax and character set.
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL: Final = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workloads:
    """For whom a policy is: the pods of a namespace that have these labels."""

    namespace: str
    labels: Mapping[str, str]

    def __post_init__(self) -> None:
        """Raises ConfigurationError: they are none that Kubernetes knows."""
        if not _NAME.fullmatch(self.namespace) or "." in self.namespace:
            raise ConfigurationError(f"--namespace: '{self.namespace}' is no name of a namespace")
        if not self.labels:
            raise ConfigurationError("--selector LABEL=VALUE is missing: whose requests does the policy decide?")
        for name, value in self.labels.items():
            if not _LABEL.fullmatch(name) or not _LABEL_VALUE.fullmatch(value):
                raise ConfigurationError(f"--selector: '{name}={value}' is no label: write it as app=orders")


def parse_selector(texts: Sequence[str]) -> Mapping[str, str]:
    """Read `label=value`, several. Raises ConfigurationError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in found:
            raise ConfigurationError(f"--selector: '{text}' is no label of its own: write it as app=orders")
        found[name] = value
    return found


def compile_istio(plan: Plan, workloads: Workloads, *, authorizer: Address | None) -> Mapping[str, str]:
    """The files by name; without an authorizer Envoy answers everything, and there is nobody for CUSTOM to ask.

    Raises:
        ConfigurationError: Istio cannot name the policy, or reach the authorizer, so.
    """
    name = f"extauthz-{plan.policy_set.name}"
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"the set's name '{plan.policy_set.name}' makes no name of an object: use lower case letters and -"
        )
    files = {
        ENVOY_FILTER_FILE: render(envoy_filter(plan, name, workloads, authorizer)),
        REPORT_FILE: render(report_document(plan, has_authorizer=authorizer is not None)),
    }
    if authorizer is not None:
        policy, mesh = custom_policy(name, workloads), mesh_config(plan.policy_set, authorizer)
        files |= {CUSTOM_FILE: render(policy), MESH_CONFIG_FILE: render(mesh)}
        problems = problems_of([policy], mesh)
        assert not problems, problems  # noqa: S101 - it is made here
    return files


def envoy_filter(plan: Plan, name: str, workloads: Workloads, authorizer: Address | None) -> JsonObject:
    """`EnvoyFilter` (networking.istio.io/v1alpha3): fields, clusters, then the filters in their order."""
    delegated = Delegated.NOTHING if authorizer is None else Delegated.RESIDUAL
    fields = connection_manager_fields(log_fields=NATIVE_LOG_FIELDS, local_replies=native_local_replies(plan))
    clusters = [] if authorizer is None else [authorizer_cluster(authorizer)]
    patches = [
        _patch("NETWORK_FILTER", "MERGE", {"name": _HCM, "typed_config": {"@type": _HCM_TYPE, **fields}}, _of_filter()),
        *(_patch("CLUSTER", "ADD", each) for each in [*clusters, *key_set_clusters(plan.providers)]),
        *(
            # Before the router, each behind the one before it, and behind all of Istio's own.
            _patch("HTTP_FILTER", "INSERT_BEFORE", each, _of_filter(_ROUTER))
            for each in native_filters(plan, delegated=delegated)
        ),
    ]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": workloads.namespace},
        "spec": {"workloadSelector": {"labels": dict(workloads.labels)}, "configPatches": patches},
    }


def custom_policy(name: str, workloads: Workloads) -> JsonObject:
    """`AuthorizationPolicy` (security.istio.io/v1): every request, with no condition of Istio's."""
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": workloads.namespace},
        "spec": {
            "selector": {"matchLabels": dict(workloads.labels)},
            "action": "CUSTOM",
            "provider": {"name": PROVIDER},
            "rules": [{}],
        },
    }


def mesh_config(policy_set: PolicySet, authorizer: Address) -> JsonObject:
    """Of `MeshConfig`: the provider, failing closed, and one reading of paths.

    Raises:
        ConfigurationError: it is no service that Istio could know.
    """
    if not isinstance(authorizer, TcpAddress) or authorizer.is_literal or authorizer.host == "localhost":
        raise ConfigurationError(
            f"--authz {authorizer}: Istio asks a service by its name, as authz.extauthz.svc.cluster.local:9000"
        )
    provider: JsonObject = {
        "service": authorizer.host,
        "port": authorizer.port,
        "timeout": "0.200s",
        "failOpen": False,
        "statusOnError": "503",
    }
    if reads_body(policy_set):
        provider["includeRequestBodyInCheck"] = {
            "maxRequestBytes": MAX_BODY_BYTES,
            "allowPartialMessage": True,
            "packAsBytes": True,
        }
    return {
        "extensionProviders": [{"name": PROVIDER, "envoyExtAuthzGrpc": provider}],
        "pathNormalization": {"normalization": "MERGE_SLASHES"},
    }


def problems_of(policies: Sequence[Mapping[str, Any]], mesh: Mapping[str, Any]) -> Sequence[str]:
    """What Istio takes and does not do: a line for each problem of these AuthorizationPolicy objects."""
    known = {each["name"] for each in mesh.get("extensionProviders", ())}
    asked: dict[tuple[str, str], set[str]] = {}
    found = []
    for policy in policies:
        spec = policy["spec"]
        if spec.get("action") != "CUSTOM":
            continue
        name = policy["metadata"]["name"]
        provider = (spec.get("provider") or {}).get("name")
        if provider is None:
            found.append(f"{name}: CUSTOM names no provider: Istio would deny every request")
            continue
        if provider not in known:
            found.append(f"{name}: no extensionProvider is called {provider}: Istio would deny every request")
        if any(_reads_token(rule) for rule in spec.get("rules") or ()):
            found.append(f"{name}: CUSTOM is asked before tokens are verified: a rule on them never matches")
        workloads = policy["metadata"].get("namespace", ""), repr(sorted((spec.get("selector") or {}).items()))
        providers = asked.setdefault(workloads, set())
        if providers - {provider}:
            found.append(f"{name}: the workload has another provider already: Istio would deny every request")
        providers.add(provider)
    return found


def _reads_token(rule: Mapping[str, Any]) -> bool:
    sources = [each["source"] for each in rule.get("from") or ()]
    keys = [each["key"] for each in rule.get("when") or ()]
    by_source = any({"requestPrincipals", "notRequestPrincipals"} & source.keys() for source in sources)
    return by_source or any(key.startswith("request.auth.") for key in keys)


def _of_filter(inner: str | None = None) -> JsonObject:
    chosen: JsonObject = {"name": _HCM}
    if inner is not None:
        chosen["subFilter"] = {"name": inner}
    return {"listener": {"filterChain": {"filter": chosen}}}


def _patch(kind: str, operation: str, value: JsonObject, match: JsonObject | None = None) -> JsonObject:
    # A cluster is nobody's: Istio wants the outbound context for one that is added.
    context = "SIDECAR_OUTBOUND" if kind == "CLUSTER" else _INBOUND
    return {
        "applyTo": kind,
        "match": {"context": context, **(match or {})},
        "patch": {"operation": operation, "value": value},
    }
