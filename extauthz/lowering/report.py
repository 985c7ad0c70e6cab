"""What `extauthz compile` says about a policy set: every piece with its verdict, and where Envoy itself differs.

For people (`render_report`) and for programs (`report_document`, whose text is the same whenever the set is).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from extauthz.errors import LoweringError
from extauthz.lowering.document import JsonObject
from extauthz.lowering.plan import Item, Plan, Verdict
from extauthz.lowering.wasm.compiler import WasmPlan
from extauthz.model.provider import RemoteKeys
from extauthz.model.source import Diagnostic, Span

NOT_NATIVE = "EAZ1001"
"""The code of what cannot be expressed natively."""

REPORT_VERSION = 1

REQUESTS_LEFT = (
    "a path that holds `%`, `;`, `//`, dot segments or other than visible ASCII",
    "a host that is no plain name or address",
    "a credential in another form than `Bearer` and one token of at most 16 KiB, or more than one credential",
    "a token that does not verify, or whose mapped claims are of another type than they are to be",
    "a header that a condition reads and that is repeated, or holds a comma or other than ASCII",
    "a claim that a condition reads and that is an object, or a list of other than texts",
    "an upstream header whose value would not be visible ASCII",
)
"""What Envoy does not decide whatever the set says: the authorizer does, or, without one, they are denied."""

REQUESTS_LEFT_BY_MODULE = (
    "a credential in another form than `Bearer` and one token of at most 16 KiB, or more than one credential",
    "a token that does not verify, whose mapped claims are of another type, or that the route does not take",
    "a claim that a condition reads and that is an object, or a list that holds objects or lists",
    "a client's address, where a rule asks for it, that is not the connection's own, or that of a trusted proxy",
    "an upstream header that would hold a number",
)
"""The same of a module, which reads paths, hosts and headers as the authorizer does."""

DIFFERENCES = (
    # Only the issuer could sign such a token.
    "Envoy reads a token's JSON laxly: it takes trailing commas, single quotes, unquoted names, controls in texts",
    "Envoy takes a token whose claims are nested 65 to 99 deep",
)
"""Where Envoy's answer differs, and nothing can be done about it in its configuration."""

_ROUTE_ANEW = (
    "Envoy chooses its route anew once a module has changed a header; after the authorizer's answer it does not"
)
_REMOTE_KEYS = (
    "Envoy fetches the keys of {name} by itself, every five minutes: a key that the authorizer would refuse (RSA below "
    "2048 bits, not for signatures), and a key published or withdrawn since, may count for one and not for the other"
)


def differences(plan: Plan | WasmPlan) -> tuple[str, ...]:
    """The differences that this set can come to."""
    changes_headers = isinstance(plan, WasmPlan) and any(route.upstream_headers for route in plan.policy_set.routes)
    anew = (_ROUTE_ANEW,) if changes_headers else ()
    if not plan.providers:
        return anew
    remote = [p.name for p in plan.providers if isinstance(p.keys, RemoteKeys)]
    return (*DIFFERENCES, *(_REMOTE_KEYS.format(name=name) for name in remote), *anew)


def report_document(plan: Plan | WasmPlan, *, has_authorizer: bool) -> JsonObject:
    """The report as JSON."""
    return {
        "version": REPORT_VERSION,
        "policy_set": plan.policy_set.name,
        "revision": plan.policy_set.revision,
        "items": [_item(item) for item in plan.items],
        **_made(plan),
        "requests_left": {"to": "authorizer" if has_authorizer else "denied", "which": list(_requests_left(plan))},
        "differences": list(differences(plan)),
    }


def render_report(plan: Plan | WasmPlan, *, has_authorizer: bool) -> Sequence[str]:
    """The report for people, line by line."""
    return list(_lines(plan, has_authorizer=has_authorizer))


def refuse_residual(plan: Plan | WasmPlan) -> None:
    """Check that nothing of the set is left to the authorizer.

    Raises:
        LoweringError: something is, with every reason at its place.
    """
    if plan.residual:
        raise LoweringError(
            Diagnostic(item.span or Span(plan.policy_set.name, 1, 1), NOT_NATIVE, f"{item.kind} {item.id}: {reason}")
            for item in plan.residual
            for reason in item.reasons
        )


def _made(plan: Plan | WasmPlan) -> JsonObject:
    """What has been made of the set."""
    if isinstance(plan, WasmPlan):
        return {"module_bytes": len(plan.module)}
    return {"native_policies": sorted(plan.native_policies), "denial_policies": sorted(plan.denial_policies)}


def _requests_left(plan: Plan | WasmPlan) -> Sequence[str]:
    return REQUESTS_LEFT_BY_MODULE if isinstance(plan, WasmPlan) else REQUESTS_LEFT


def _item(item: Item) -> JsonObject:
    return {
        "kind": item.kind,
        "id": item.id,
        "verdict": str(item.verdict),
        "place": str(item.span) if item.span else None,
        "reasons": list(item.reasons),
    }


def _lines(plan: Plan | WasmPlan, *, has_authorizer: bool) -> Iterator[str]:
    is_module = isinstance(plan, WasmPlan)
    made = (
        f"a module of {len(plan.module)} bytes"
        if isinstance(plan, WasmPlan)
        else f"{len(plan.native_policies)} native policies"
    )
    yield f"{plan.policy_set.name}, revision {plan.policy_set.revision}: {made}"
    yield ""
    enforced = [item for item in plan.items if item.verdict is not Verdict.RESIDUAL]
    yield f"{Verdict.WASM if is_module else Verdict.NATIVE}: {len(enforced)}"
    yield from (f"  {item.kind} {item.id}" for item in enforced)
    yield f"residual, the authorizer decides: {len(plan.residual)}"
    for item in plan.residual:
        yield f"  {item.kind} {item.id}"
        yield from (f"      {reason}" for reason in item.reasons)
    yield "requests that go to the authorizer besides:" if has_authorizer else "requests that are denied unread:"
    yield from (f"  {text}" for text in _requests_left(plan))
    found = differences(plan)
    if found:
        yield "where Envoy itself differs:"
        yield from (f"  {text}" for text in found)
