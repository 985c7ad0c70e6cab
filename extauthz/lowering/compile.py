"""The files of `extauthz compile`: what to put into an Envoy configuration that exists, and nothing else is needed."""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.lowering.address import Address
from extauthz.lowering.bootstrap import authorizer_cluster
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import render
from extauthz.lowering.jwt_authn import key_set_clusters
from extauthz.lowering.native import NATIVE_LOG_FIELDS, native_filters
from extauthz.lowering.plan import Plan
from extauthz.lowering.report import report_document

HTTP_FILTERS_FILE = "http_filters.json"
"""An array, to go before the router."""
HCM_FILE = "hcm.json"
"""An object: the further fields of HttpConnectionManager that the filters rely on."""
CLUSTERS_FILE = "clusters.json"
"""An array: the authorizer, key sets."""
REPORT_FILE = "report.json"


def compile_native(plan: Plan, *, authorizer: Address) -> Mapping[str, str]:
    """The files by name."""
    return {
        CLUSTERS_FILE: render([authorizer_cluster(authorizer), *key_set_clusters(plan.providers)]),
        HCM_FILE: render(connection_manager_fields(log_fields=NATIVE_LOG_FIELDS)),
        HTTP_FILTERS_FILE: render(native_filters(plan)),
        REPORT_FILE: render(report_document(plan)),
    }
