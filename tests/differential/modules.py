"""Generated requests to modules that run in this process, and what the authorizer answers to the same."""

from __future__ import annotations

import json
from typing import Any

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authn.claims import principal_of
from extauthz.authorizer import Snapshot, authorize_as, build_snapshot
from extauthz.check.request import CheckedRequest
from extauthz.errors import AuthnError
from extauthz.lowering.wasm.compiler import WasmPlan, compile_module
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Decision, Effect, Reason
from extauthz.model.policy import Authentication
from tests.differential.comparison import generated_requests, generated_sets, same_reason
from tests.harness.case import CaseRequest, Proxy
from tests.harness.check_call import check_request
from tests.harness.machine import Machine, StoppedError, metadata, peer
from tests.harness.module import said
from tests.harness.tokens import key_set_files
from tests.policies import parse

Asked = tuple[CaseRequest, Principal | None, dict[str, bytes]]
"""A request, who sends it (None: that is not known), and what the filters in front of a module have written."""


def disagreements(sets: int, requests: int, *, stop: bool = False) -> tuple[int, list[str]]:
    """How many answers were compared, and those that differ; with `stop` the first alone."""
    generated, asked, found = generated_requests(sets * requests), 0, list[str]()
    for number, case_set in enumerate(generated_sets(sets)):
        policy_set = parse(case_set.policy, key_set_files()).policy_set
        plan, snapshot = compile_module(policy_set), build_snapshot(policy_set, KeySets(), VerifiedTokens())
        machine = Machine(module=plan.module)
        for request in generated[number::sets]:
            asked += 1
            difference = _difference(machine, snapshot, _question(request, plan))
            if difference is not None:
                found.append(f"{difference}\n{request}\n{case_set.policy}")
                if stop:
                    return asked, found
    return asked, found


def _question(request: CaseRequest, plan: WasmPlan) -> Asked:
    if "authorization" in dict(request.headers):
        return request, None, metadata(None)
    if request.token is None:
        return request, ANONYMOUS, metadata("anonymous")
    assert not isinstance(request.token.claims, str)
    (provider,) = plan.providers
    claims: dict[str, Any] = {"sub": "alice", **request.token.claims}
    try:
        principal = principal_of(provider, json.loads(json.dumps(claims)), plan.policy_set.roles)
    except AuthnError:
        return request, None, metadata(None, **claims)
    return request, principal, metadata("provider_corp", **claims)


def _difference(machine: Machine, snapshot: Snapshot, asked: Asked) -> str | None:
    request, principal, told = asked
    message = check_request(
        CaseRequest(request.path, request.method, request.host, request.headers), Proxy(), 0.0, with_body=False
    )
    decision = authorize_as(CheckedRequest(message), snapshot, 0.0, principal or ANONYMOUS)
    address = message.attributes.source.address.socket_address
    machine.headers = [(entry.key, entry.raw_value) for entry in message.attributes.request.http.header_map.headers]
    machine.properties = {**told, **peer(f"{address.address}:{address.port_value}")}
    machine.written, machine.changed, machine.response = {}, [], None
    try:
        machine.request()
    except StoppedError as error:
        return f"stopped: {error}"
    if principal is None and _looks_at_credentials(decision, snapshot):
        return f"decided for an unknown caller: {said(machine)}" if said(machine) else None
    return _compared(machine, decision)


def _looks_at_credentials(decision: Decision, snapshot: Snapshot) -> bool:
    """Whether who the caller is comes before this decision."""
    if decision.reason in {Reason.PATH_AMBIGUOUS, Reason.HOST_INVALID, Reason.PREFLIGHT}:
        return False
    routes = {route.name: route for route in snapshot.policy_set.routes}
    return decision.route is None or routes[decision.route].authentication is not Authentication.NONE


def _compared(machine: Machine, decision: Decision) -> str | None:
    written = said(machine)
    if written is None:
        return "changed headers of a request that is left" if machine.changed or machine.response else None
    effect, reason, route, _ = written.split(" ")
    expected = f"{decision.effect} {decision.reason} {decision.route or '-'}"
    if effect != decision.effect or not same_reason(reason, decision.reason) or route != (decision.route or "-"):
        return f"{written}, not {expected}"
    if decision.effect is Effect.ALLOW:
        changed = {name: value for name, value in machine.changed if value is not None}
        return None if changed == dict(decision.upstream.set) else f"{machine.changed}, not {decision.upstream}"
    assert machine.response is not None
    challenge = machine.response[3].get("www-authenticate")
    return None if challenge == decision.challenge else f"{challenge}, not {decision.challenge}"
