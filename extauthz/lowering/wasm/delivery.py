"""The module as an extension that Envoy discovers (ECDS), so that another takes its place while Envoy runs.

The module is one filter that holds the whole policy: a request is decided by the old one or by the new one, never by
parts of both. The filters around it and the clusters are part of Envoy's fixed configuration, and a module is exact
only between those it was made for. So their digest is part of the extension's name, and Envoy itself refuses a module
that was made for others, whoever delivers it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from extauthz.lowering.document import JsonObject, render
from extauthz.lowering.rbac import enforcing_filter
from extauthz.lowering.wasm.filters import MODULE_FILTER

_EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A module that is delivered apart from the other filters."""

    name: str
    """Of the extension: equal for modules that may replace each other."""
    filters: Sequence[JsonObject]
    """The filters, with one in the module's place that discovers it."""
    resource: str
    """The text of the file in which Envoy finds the module: a `DiscoveryResponse`."""


def deliver(filters: Sequence[JsonObject], *, fixed: str, revision: str, folder: str, file: str) -> Delivered:
    """Take the module out of the filters.

    Args:
        filters: as `wasm_filters` makes them.
        fixed: the rest of Envoy's configuration that the module relies on.
        revision: of the policy set; Envoy's administration interface shows it as the version.
        folder: where Envoy finds the file: an absolute path, on the machine where Envoy runs.
        file: the name that it has there.
    """
    (module,) = (each for each in filters if each["name"] == MODULE_FILTER)
    others = [each for each in filters if each is not module]
    digest = hashlib.sha256(f"{render(others)}{fixed}".encode()).hexdigest()[:16]
    name = f"{MODULE_FILTER}.{digest}"
    extension = {"@type": _EXTENSION, "name": name, "typed_config": module["typed_config"]}
    discovering = _discovering_filter(name, module["typed_config"]["@type"], folder, file)
    return Delivered(
        name,
        [discovering if each is module else each for each in filters],
        render({"version_info": revision, "resources": [extension]}),
    )


def _discovering_filter(name: str, module_type: str, folder: str, file: str) -> JsonObject:
    """Denies everything (403) until there is a module, and does not keep Envoy from listening meanwhile."""
    nobody = enforcing_filter(name, f"{MODULE_FILTER}.", {})["typed_config"]
    return {
        "name": name,
        "config_discovery": {
            "config_source": {
                "path_config_source": {"path": f"{folder}/{file}", "watched_directory": {"path": folder}},
                "resource_api_version": "V3",
            },
            "default_config": nobody,
            "apply_default_config_without_warming": True,
            "type_urls": [module_type, nobody["@type"]],
        },
    }
