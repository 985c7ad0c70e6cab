"""The module as an extension that Envoy discovers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extauthz.lowering.document import render
from extauthz.lowering.wasm.delivery import Delivered, deliver
from extauthz.lowering.wasm.filters import MODULE_FILTER, module_filter, wasm_filters
from tests.harness.module import plan_of

ROUTES = [{"name": "r", "path": "/a", "public": True}]
OTHER = [{"name": "r", "path": "/b", "public": True}]
HEADERS: list[dict[str, Any]] = [{**ROUTES[0], "upstream_headers": {"set": {"x-user": "{principal.subject}"}}}]
ADDRESSES = [{"name": "r", "path": "/a", "authentication": "none", "allow": [{"when": "source.address == '10.0.0.1'"}]}]


def delivered(routes: list[dict[str, Any]], fixed: str = "", *, has_authorizer: bool = True) -> Delivered:
    plan = plan_of(routes)
    filters = wasm_filters(plan, has_authorizer=has_authorizer)
    return deliver(filters, fixed=fixed, revision=plan.policy_set.revision, folder="/etc/policy", file="module.json")


def test_the_other_filters_stay_as_they_are():
    """In their order; in the module's place stands one that finds it."""
    plain, found = wasm_filters(plan_of(ROUTES)), delivered(ROUTES)
    place = [each["name"] for each in plain].index(MODULE_FILTER)
    assert [*found.filters[:place], *found.filters[place + 1 :]] == [*plain[:place], *plain[place + 1 :]]
    discovery = found.filters[place]["config_discovery"]
    assert discovery["config_source"]["path_config_source"] == {
        "path": "/etc/policy/module.json",
        "watched_directory": {"path": "/etc/policy"},
    }


def test_until_there_is_a_module_nobody_is_allowed():
    """An allow list that is empty, at once."""
    (discovery,) = (each["config_discovery"] for each in delivered(ROUTES).filters if "config_discovery" in each)
    assert discovery["default_config"]["rules"] == {"action": "ALLOW", "policies": {}}
    assert discovery["apply_default_config_without_warming"] is True


def test_the_resource_holds_the_module_under_the_name_that_the_filter_has():
    """And the revision as its version."""
    plan, found = plan_of(ROUTES), delivered(ROUTES)
    document = json.loads(found.resource)
    assert document["version_info"] == plan.policy_set.revision
    (extension,) = document["resources"]
    assert extension["name"] == found.name
    assert [each["name"] for each in found.filters].count(found.name) == 1
    assert render(extension["typed_config"]) == render(module_filter(plan)["typed_config"])


def test_modules_between_the_same_filters_may_replace_each_other():
    """Their extensions have one name."""
    assert delivered(ROUTES).name == delivered(OTHER).name
    assert delivered(ROUTES).resource != delivered(OTHER).resource


@pytest.mark.parametrize(
    "other",
    [
        delivered(HEADERS),
        delivered(ADDRESSES),
        delivered(ROUTES, "clusters of other key sets"),
        delivered(ROUTES, has_authorizer=False),
    ],
    ids=["upstream headers", "addresses", "clusters", "no authorizer"],
)
def test_modules_between_other_filters_have_another_name(other):
    """So Envoy refuses them."""
    assert other.name != delivered(ROUTES).name
