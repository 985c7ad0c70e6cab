"""Generated cases, and one request through two Envoys: in what do the answers differ?"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from random import Random

from extauthz.errors import PolicyError
from tests.differential.generators import policy_set, request
from tests.harness.answer import Answer
from tests.harness.case import CaseRequest, CaseSet, Proxy
from tests.harness.front import EnvoyEngine
from tests.harness.site import Site
from tests.harness.tokens import key_set_files
from tests.policies import parse

_COULD_NOT_DECIDE = 503
_TRIES = 5


def seed() -> int:
    """Of the run: a fixed one, or the one that the environment names."""
    return int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_SEED", "1"))


def generated_sets(count: int) -> list[CaseSet]:
    """Sets that load."""
    random = Random(seed())
    texts = filter(_loads, (json.dumps(policy_set(random)) for _ in itertools.count()))
    return [CaseSet(f"set-{n}", text, {}, {}, Proxy(), ()) for n, text in enumerate(itertools.islice(texts, count))]


def generated_requests(count: int) -> list[CaseRequest]:
    """Requests to any of the sets."""
    random = Random(seed())
    return [request(random) for _ in range(count)]


def _loads(policy: str) -> bool:
    try:
        parse(policy, key_set_files())
    except PolicyError:
        return False
    return True


def answers(engine: EnvoyEngine, site: Site, asked: Sequence[CaseRequest]) -> list[Answer]:
    """What comes of each request. One that could not be decided in time, on a busy machine, is sent again."""
    found = engine.ask_all(site, asked)
    for _ in range(_TRIES):
        late = [n for n, answer in enumerate(found) if answer.status == _COULD_NOT_DECIDE]
        if not late:
            break
        for n, answer in zip(late, engine.ask_all(site, [asked[n] for n in late]), strict=True):
            found[n] = answer
    return found


def differs(asked: Answer, native: Answer) -> str | None:
    """In what the two answers differ, as far as a client or the upstream can tell."""
    if native.native is not None and (asked.told is None or asked.told.effect != "allow"):
        return f"{native.native} let it through"
    if asked.status != native.status:
        return f"status {asked.status}, natively {native.status}"
    if asked.header("www-authenticate") != native.header("www-authenticate"):
        return f"challenge {asked.header('www-authenticate')}, natively {native.header('www-authenticate')}"
    if _upstream(asked) != _upstream(native):
        return f"upstream {_upstream(asked)}, natively {_upstream(native)}"
    return None


def wasm_differs(asked: Answer, wasm: Answer) -> str | None:
    """In what the answer of an Envoy that runs a module differs, as `differs`; the module's reason is compared, too."""
    if wasm.wasm is not None and asked.told is not None:
        effect, reason, *_ = wasm.wasm.split(" ")
        if effect != asked.told.effect or not same_reason(reason, asked.told.reason):
            return f"reason {asked.told.reason}, in the module {wasm.wasm}"
    return differs(asked, wasm)


_BY_A_RULE = frozenset({"denied_by_policy", "requirement_failed", "evaluation_error"})


def same_reason(module: str, authorizer: str) -> bool:
    """Whether a module denies for the authorizer's reason; of several rules that deny, it names the first."""
    return module == authorizer or {module, authorizer} <= _BY_A_RULE


def _upstream(answer: Answer) -> object:
    """What the upstream saw, but for what differs from one request to the next: tokens are minted for each."""
    if answer.upstream is None:
        return None
    varying = {"x-request-id", "authorization"}
    return answer.upstream.path, {n: v for n, v in answer.upstream.headers.items() if n not in varying}
