"""The demo's requests and what must come of them: expected is what the mesh promises, not what the code does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.demo.network import OUTSIDE
from extauthz.mesh.demo.stage import PORT, SECOND_PORT, Stage

REFUSED: Final = "no answer"
_AGENT: Final = "extauthz-mesh-demo/"
_CALL_SECONDS: Final = 10.0
_LOG_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1
_EJECTED: Final = "cluster.service_twins.outlier_detection.ejections_active"


@dataclass(frozen=True, slots=True)
class Step:
    """Calls of one kind, and what must come of them."""

    title: str
    source: str
    """The pod of who calls."""
    host: str
    """Whom it names; a service, where the call goes through its sidecar."""
    path: str
    expected: str
    """The statuses, in order; of calls at once, those that occur."""
    decided: str = ""
    """What the access logs must say: the reason and the rule, or Envoy's own reason."""
    dialled: str = "orders"
    """The pod whose address is dialled."""
    port: int = PORT
    method: str = "GET"
    subject: str | None = None
    """Whose token is sent."""
    times: int = 1
    is_at_once: bool = False
    before: Callable[[Stage], None] | None = None
    """What happens first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step."""

    step: Step
    actual: str
    decided: str

    @property
    def is_as_expected(self) -> bool:
        """Whether the statuses are, and who decided, where the step says that."""
        return self.actual == self.step.expected and self.step.decided in {"", self.decided}


def _await_ejection(stage: Stage) -> None:
    deadline = time.monotonic() + _CALL_SECONDS
    while stage.proxy_counter("frontend", _EJECTED) != 1 and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


STEPS: Final = (
    Step("clear text, past the caller's sidecar", OUTSIDE, "orders", "/orders/1", REFUSED),
    Step("mutual TLS, a workload that may", "frontend", "orders", "/orders/1", "200", "allowed orders.allow.frontend"),
    Step("mutual TLS, a workload that may not", "batch", "orders", "/orders/1", "403", "no_matching_allow"),
    Step("what is for another workload", "frontend", "orders", "/audit", "403", "no_matching_allow"),
    Step("the edge, without a token", OUTSIDE, "shop", "/", "401", "credential_missing", dialled="frontend"),
    Step("the edge, with one", OUTSIDE, "shop", "/", "200", "allowed home.allow.people", "frontend", subject="alice"),
    Step(
        *("the caller's own policy", "frontend", "orders", "/orders/1", "403", "denied_by_policy set.deny.writing"),
        method="DELETE",
    ),
    Step("a host that is no service", "frontend", "elsewhere", "/", "502"),
    Step("a rate limit of two calls", "frontend", "limited", "/orders/1", "200 200 429 429", times=4),
    Step("a circuit of one connection", "frontend", "narrow", "/slow", "200, 503", times=6, is_at_once=True),
    Step("two instances", "frontend", "twins", "/orders/1", "200 200 200 200", times=4),
    Step(
        *("one crashes", "frontend", "twins", "/orders/1", "200, 503"),
        times=6,
        is_at_once=True,
        before=lambda stage: stage.crash(SECOND_PORT),
    ),
    Step(
        *("and is left out", "frontend", "twins", "/orders/1", "200 200 200 200"),
        times=4,
        before=_await_ejection,
    ),
)


def run_steps(stage: Stage, steps: Sequence[Step] = STEPS) -> tuple[Outcome, ...]:
    """Do them one after another, then look up who decided."""
    actual = [_run_step(stage, number, step) for number, step in enumerate(steps)]
    wanted = {number for number, step in enumerate(steps) if step.decided}
    decided = _decisions(stage, wanted)
    return tuple(
        Outcome(step, said, decided.get(number, ""))
        for number, (step, said) in enumerate(zip(steps, actual, strict=True))
    )


def _run_step(stage: Stage, number: int, step: Step) -> str:
    if step.before is not None:
        step.before(stage)
    headers = {"host": step.host, "user-agent": f"{_AGENT}{number}"}
    if step.subject is not None:
        headers["authorization"] = f"Bearer {stage.token(step.subject)}"
    address = stage.network.addresses[step.dialled]

    def call(_: int = 0) -> str:
        return stage.network.inside(step.source, lambda: _call(address, step, headers))

    if step.is_at_once:
        with ThreadPoolExecutor(step.times) as callers:
            return ", ".join(sorted(set(callers.map(call, range(step.times)))))
    return " ".join(call() for _ in range(step.times))


def _call(address: str, step: Step, headers: Mapping[str, str]) -> str:
    """The status of one request, on a connection of its own."""
    connection = HTTPConnection(address, step.port, timeout=_CALL_SECONDS)
    try:
        connection.request(step.method, step.path, headers=dict(headers))
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except (OSError, HTTPException):
        return REFUSED
    finally:
        connection.close()


def _decisions(stage: Stage, wanted: set[int]) -> Mapping[int, str]:
    """By step: the reason and the rules, from the access log of whoever decided last."""
    deadline = time.monotonic() + _LOG_SECONDS
    while True:
        found = {number: line for number, line in _lines(stage) if line["reason"] is not None}
        if wanted <= found.keys():
            return {number: " ".join([line["reason"], *(line["policies"] or ())]) for number, line in found.items()}
        if time.monotonic() > deadline:
            missing = ", ".join(STEPS[number].title for number in sorted(wanted - found.keys()))
            raise EnvironmentUnfitError(f"the access logs say nothing within {_LOG_SECONDS} s of: {missing}")
        time.sleep(_POLL_SECONDS)


def _lines(stage: Stage) -> Iterator[tuple[int, dict[str, Any]]]:
    """Callers' lines first, since a callee decides after them; the last line may still be in writing."""
    for pod in ("batch", "frontend", "orders"):
        path = stage.access_log(pod)
        text = path.read_text(errors="replace") if path.exists() else ""
        for written in text.splitlines(keepends=True):
            if written.endswith("\n"):
                line = json.loads(written)
                agent = line["user_agent"] or ""
                if agent.startswith(_AGENT):
                    yield int(agent.removeprefix(_AGENT)), line
