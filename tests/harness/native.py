"""The engine that is native enforcement: a real Envoy that decides what it can, with the service behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject
from extauthz.lowering.native import NATIVE_LOG_FIELDS, native_filters, native_local_replies
from extauthz.lowering.planner import make_plan
from tests.harness.answer import Answer, differences
from tests.harness.front import EnvoyEngine
from tests.harness.site import Site

ALLOWING = ("allowed", "preflight")
_OF_THE_AUTHORIZER = ("reason", "route", "policies")
"""What only an authorizer that was asked says."""


class NativeEngine(EnvoyEngine):
    """A real Envoy with the filters of native enforcement."""

    def fields(self, access_log: str) -> JsonObject:
        return connection_manager_fields(access_log=access_log, behind_local_proxy=True, log_fields=NATIVE_LOG_FIELDS)

    def fields_of(self, site: Site, fields: JsonObject) -> JsonObject:
        return {**fields, "local_reply_config": native_local_replies(make_plan(site.policy_set))}

    def filters(self, site: Site) -> list[JsonObject]:
        return native_filters(make_plan(site.policy_set), cluster=site.name)


def native_differences(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    """Everything in which the answer is not what a case expects of every engine."""
    if answer.native is None and answer.told is None and answer.denied is not None:
        seen = {name: value for name, value in expected.items() if name not in (*_OF_THE_AUTHORIZER, "body")}
        return differences(seen, answer)
    if answer.native is None:
        return differences(expected, answer)
    if expected.get("reason") not in ALLOWING:
        return [f"{answer.native} let it through, but expected is {expected}"]
    seen = {name: value for name, value in expected.items() if name not in _OF_THE_AUTHORIZER}
    found = differences(seen, answer)
    rules = expected.get("policies")
    if rules and not any(f"/{rule}" in answer.native for rule in rules):
        found.append(f"{answer.native} let it through, but the rules that allow are {rules}")
    return found
