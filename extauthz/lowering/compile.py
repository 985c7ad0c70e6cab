"""The files of `extauthz compile`: what to put into an Envoy configuration that exists, and nothing else is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.lowering.address import Address
from extauthz.lowering.bootstrap import authorizer_cluster
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import render
from extauthz.lowering.jwt_authn import key_set_clusters
from extauthz.lowering.native import NATIVE_LOG_FIELDS, Delegated, native_filters, native_local_replies
from extauthz.lowering.plan import Plan
from extauthz.lowering.report import report_document
from extauthz.lowering.wasm.compiler import WasmPlan
from extauthz.lowering.wasm.delivery import deliver
from extauthz.lowering.wasm.filters import WASM_LOG_FIELDS, wasm_filters

HTTP_FILTERS_FILE = "http_filters.json"
"""An array, to go before the router."""
HCM_FILE = "hcm.json"
"""An object: the further fields of HttpConnectionManager that the filters rely on."""
CLUSTERS_FILE = "clusters.json"
"""An array: the authorizer, key sets."""
REPORT_FILE = "report.json"
MODULE_FILE = "policy.wasm"
"""The module that is in the filters, too: for whoever delivers it otherwise."""

EXTENSION_FILE = "extension.json"
"""The module as Envoy discovers it, where it is delivered while Envoy runs."""


@dataclass(frozen=True, slots=True)
class DeliveredFiles:
    """The files of a module that is delivered while Envoy runs."""

    name: str
    """As in `Delivered`: the first files of an Envoy and later ones must agree on it."""
    files: Mapping[str, str | bytes]


CHANGING_FILES: Final = (EXTENSION_FILE, MODULE_FILE, REPORT_FILE)
"""Those of `DeliveredFiles` that change while Envoy runs, the one that it reads first."""


def compile_native(plan: Plan, *, authorizer: Address | None) -> Mapping[str, str]:
    """The files by name; without an authorizer Envoy answers everything."""
    delegated = Delegated.NOTHING if authorizer is None else Delegated.RESIDUAL
    fields = connection_manager_fields(log_fields=NATIVE_LOG_FIELDS, local_replies=native_local_replies(plan))
    authorizers = [] if authorizer is None else [authorizer_cluster(authorizer)]
    return {
        CLUSTERS_FILE: render([*authorizers, *key_set_clusters(plan.providers)]),
        HCM_FILE: render(fields),
        HTTP_FILTERS_FILE: render(native_filters(plan, delegated=delegated)),
        REPORT_FILE: render(report_document(plan, has_authorizer=authorizer is not None)),
    }


def compile_wasm(plan: WasmPlan, *, authorizer: Address | None) -> Mapping[str, str | bytes]:
    """The files by name; without an authorizer the plan is one that was made for that."""
    has_authorizer = authorizer is not None
    authorizers = [] if authorizer is None else [authorizer_cluster(authorizer)]
    return {
        CLUSTERS_FILE: render([*authorizers, *key_set_clusters(plan.providers)]),
        HCM_FILE: render(connection_manager_fields(log_fields=WASM_LOG_FIELDS)),
        HTTP_FILTERS_FILE: render(wasm_filters(plan, has_authorizer=has_authorizer)),
        MODULE_FILE: plan.module,
        REPORT_FILE: render(report_document(plan, has_authorizer=has_authorizer)),
    }


def compile_delivered(plan: WasmPlan, *, authorizer: Address | None, folder: str) -> DeliveredFiles:
    """As `compile_wasm`, with the module in a file of its own that Envoy reads again when it is replaced.

    Args:
        folder: where the files will be, on the machine where Envoy runs: an absolute path.
    """
    files = compile_wasm(plan, authorizer=authorizer)
    delivered = deliver(
        wasm_filters(plan, has_authorizer=authorizer is not None),
        fixed=f"{files[CLUSTERS_FILE]!s}{files[HCM_FILE]!s}",
        revision=plan.policy_set.revision,
        folder=folder,
        file=EXTENSION_FILE,
    )
    changed = {HTTP_FILTERS_FILE: render(delivered.filters), EXTENSION_FILE: delivered.resource}
    return DeliveredFiles(delivered.name, {**files, **changed})
