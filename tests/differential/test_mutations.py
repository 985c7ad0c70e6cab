"""An emitter that is wrong is seen to be: each mutation of what is emitted makes answers differ.

One that narrows what Envoy allows by itself changes no answer, since the authorizer is asked instead; these widen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from extauthz.lowering.document import JsonObject
from tests.differential.comparison import answers, differs, generated_requests, generated_sets
from tests.harness.case import CaseSet
from tests.harness.native import NativeEngine
from tests.harness.site import Site
from tests.harness.stand import Stand, envoy_or_skip

pytestmark = pytest.mark.envoy

SETS = 40
REQUESTS = 30

Mutation = Callable[[Any], Any]


def everywhere(change: Mutation) -> Mutation:
    """Applies a change to every node of a document, from the leaves up."""

    def mutate(node: Any) -> Any:
        if isinstance(node, dict):
            return change({key: mutate(value) for key, value in node.items()})
        if isinstance(node, list):
            return change([mutate(value) for value in node])
        return change(node)

    return mutate


def _swap_comparison(node: Any) -> Any:
    swapped = {"_==_": "_!=_", "_>=_": "_<_", "@in": "_!=_"}
    if isinstance(node, dict) and node.get("function") in swapped and "principals" not in node:
        return {**node, "function": swapped[node["function"]]}
    return node


def _drop_negation(node: Any) -> Any:
    return node["not_id"] if isinstance(node, dict) and "not_id" in node else node


def _drop_condition(node: Any) -> Any:
    return {k: v for k, v in node.items() if k != "condition"} if isinstance(node, dict) else node


def _any_text(node: Any) -> Any:
    return (
        {"safe_regex": {"regex": ".*"}}
        if isinstance(node, dict) and set(node) == {"exact"} and node["exact"] == "reader"
        else node
    )


def _unanchored_paths(node: Any) -> Any:
    if isinstance(node, dict) and "url_path" in node:
        regex = node["url_path"]["path"]["safe_regex"]["regex"]
        return {"url_path": {"path": {"safe_regex": {"regex": f"{regex}.*"}}}}
    return node


def _keep_headers(node: Any) -> Any:
    return [m for m in node if not (isinstance(m, dict) and set(m) == {"remove"})] if isinstance(node, list) else node


DECISION = "extauthz.decision"
MUTATIONS = {
    "a comparison is turned round": (_swap_comparison, DECISION),
    "a negation is dropped": (_drop_negation, DECISION),
    "the conditions of rules are dropped": (_drop_condition, DECISION),
    "the conditions of callers are dropped": (_drop_condition, "extauthz.caller"),
    "any role will do": (_any_text, DECISION),
    "paths are prefixes": (_unanchored_paths, "extauthz.route"),
    "headers are not removed": (_keep_headers, "envoy.filters.http.header_mutation"),
}
"""What is changed, and in which filters; the others must go on telling callers and routes apart."""


@pytest.fixture(scope="module")
def sets() -> list[CaseSet]:
    """Generated sets that load."""
    return generated_sets(SETS)


@pytest.fixture(scope="module")
def stand(sets: list[CaseSet]) -> Iterator[Stand]:
    """The Envoy that asks about every request; each mutation has one of its own."""
    with Stand(sets) as built:
        yield built


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutated_emitter_is_seen(sets: list[CaseSet], stand: Stand, name: str) -> None:
    """Some answer differs."""
    change, where = MUTATIONS[name]
    mutate = everywhere(change)

    class Mutated(NativeEngine):
        def filters(self, site: Site) -> list[JsonObject]:
            return [mutate(f) if f["name"] == where else f for f in super().filters(site)]

    checked = envoy_or_skip(stand)
    native = stand.front(Mutated, name)
    generated = generated_requests(SETS * REQUESTS)
    for number, case_set in enumerate(sets):
        site, requests = stand.site(case_set), generated[number :: len(sets)]
        pairs = zip(answers(checked, site, requests), answers(native, site, requests), strict=True)
        if any(differs(asked, answer) for asked, answer in pairs):
            return
    raise AssertionError("nothing differs")
