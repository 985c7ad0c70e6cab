"""A matrix promises nothing that a decision does not keep: every certain cell, on every decision case's request."""

from __future__ import annotations

import time

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.matrix import Answer, Cell, Column, matrix_of
from extauthz.authoring.steps import take_steps
from extauthz.authorizer import Snapshot, authorize_as, build_snapshot
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.model.access import ANONYMOUS, JsonValue, Principal
from extauthz.model.decision import Effect, Reason
from extauthz.model.policy import Authentication, Route

NOW = time.time()  # noqa: TID251 - the corpus' tokens are minted now


def test_certain_cells_are_kept(corpus):
    """`yes` is allowed and `no` is denied, whatever else the request and its caller have."""
    kept = dict.fromkeys(Answer, 0)
    for asked in corpus:
        snapshot = build_snapshot(asked.policy_set, KeySets(), VerifiedTokens())
        matrix = matrix_of(asked.policy_set)
        rows = {row.route.name: row for row in matrix.rows}
        for message in asked.messages:
            request = read_check_request(message.SerializeToString())
            steps = take_steps(request, snapshot, NOW, ANONYMOUS, method=request.method)
            if steps.compiled is None:
                continue
            row = rows[steps.compiled.route.name]
            for column, cell in zip(matrix.columns, row.cells, strict=True):
                for caller in callers(column, row.route):
                    if holds_no_more(request, snapshot, caller, column):
                        check(cell, request, snapshot, caller)
                        kept[cell.answer] += 1
    assert min(kept.values()) > 200, kept


def callers(column: Column, route: Route) -> list[Principal]:
    """Callers of a kind, who have more or less besides."""
    if not column.authenticated or not route.providers:
        return [ANONYMOUS]
    roles = (column.name,) if column.roles else ()
    more: dict[str, JsonValue] = {"suspended": True, "level": "gold", "orders": ["7"]}
    return [
        caller
        for provider in route.providers
        for caller in (
            Principal(True, "max", provider, roles),
            Principal(True, "alice", provider, roles, ("staff", "red"), ("orders.read", "s", "t"), claims=more),
        )
    ]


def holds_no_more(request: CheckedRequest, snapshot: Snapshot, caller: Principal, column: Column) -> bool:
    """Whether no binding gives the caller a role beyond the column's."""
    facts = take_steps(request, snapshot, NOW, caller, method=request.method).facts()
    assert facts is not None
    steps = take_steps(request, snapshot, NOW, caller, method=request.method)
    assert steps.compiled is not None
    looks = steps.compiled.route.authentication is not Authentication.NONE
    return not looks or facts.roles.held <= column.roles


def check(cell: Cell, request: CheckedRequest, snapshot: Snapshot, caller: Principal) -> None:
    decision = authorize_as(request, snapshot, NOW, caller)
    if decision.reason in {Reason.UPSTREAM_HEADER_INVALID, Reason.PREFLIGHT}:
        return
    if cell.answer is not Answer.DEPENDS:
        assert (decision.effect is Effect.ALLOW) is (cell.answer is Answer.YES), (decision, caller)
