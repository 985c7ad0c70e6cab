"""What a policy keeps out of its decision log: `data.system.log.mask` names parts of an event, `drop` whole events.

A mask is a set of paths to remove, as texts such as `/input/parsed_body/password`, or of objects with `op` (`remove` or
`upsert`), `path` and `value`. INVARIANT: an event whose mask cannot be found out, or makes no sense, is not written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import unquote

from extauthz.check.opa_policy import OpaQuery
from extauthz.errors import ExtAuthzError
from extauthz.languages.rego.program import Limits
from extauthz.languages.rego.value import UNDEFINED, Value

BUDGET: Final = 200_000
"""Steps for one event: a tenth of a second at most, in which nobody else is answered."""

_ROOTS: Final = ("input", "result")


class MaskRefusedError(ExtAuthzError):
    """The policy's mask is none. The message quotes no value."""


class OpaMask:
    """Masks events; a `Masking`."""

    def __init__(self, mask: OpaQuery | None, drop: OpaQuery | None, *, clock_ns: Callable[[], int]) -> None:
        """By the answers to these questions; None where the policy cannot be asked."""
        self._mask = mask
        self._drop = drop
        self._clock_ns = clock_ns

    def __call__(self, event: dict[str, Value]) -> dict[str, Value] | None:
        """The event as it may be written; None when it may not.

        Raises:
            MaskRefusedError: the answer makes no sense.
            RegoEvaluationError: there is no answer.
        """
        if self._ask(self._drop, event) is True:
            return None
        masks = self._ask(self._mask, event)
        if masks is UNDEFINED:
            return event
        if type(masks) is not list:
            raise MaskRefusedError("the mask is no set")
        erased: list[str] = []
        masked: list[str] = []
        for change in map(_change, masks):
            event, is_done = _applied(event, change)
            if is_done:
                (erased if change.removes else masked).append(change.path)
        if erased:
            event = {**event, "erased": erased}
        return {**event, "masked": masked} if masked else event

    def _ask(self, query: OpaQuery | None, event: dict[str, Value]) -> Value:
        if query is None:
            return UNDEFINED
        limits = Limits(None, BUDGET)
        return query.evaluate(event, now_ns=self._clock_ns(), strict=False, limits=limits, clock=time.monotonic)


class _Change(NamedTuple):
    path: str
    steps: tuple[str, ...]
    removes: bool
    value: Value


def _change(mask: Value) -> _Change:
    removes, value, path = True, None, mask
    if type(mask) is dict:
        operation, path, value = mask.get("op"), mask.get("path"), mask.get("value")
        if operation not in {"remove", "upsert"}:
            raise MaskRefusedError("the mask has an operation that is neither remove nor upsert")
        removes = operation == "remove"
    if type(path) is not str or not path.startswith("/"):
        raise MaskRefusedError("the mask has a path that does not begin with a slash")
    steps = tuple(unquote(step) for step in path[1:].split("/"))
    if steps[0] not in _ROOTS:
        raise MaskRefusedError("the mask has a path that begins with neither /input nor /result")
    return _Change(path, steps, removes, value)


def _applied(document: Value, change: _Change, depth: int = 0) -> tuple[Value, bool]:
    """A document after a change, and whether there was anything to change."""
    step, is_last = change.steps[depth], depth == len(change.steps) - 1
    if type(document) is list:
        if not step.isdecimal() or int(step) >= len(document):
            return document, False
        key: str | int = int(step)
    elif type(document) is dict:
        key = step
        if key not in document and (change.removes or not is_last):
            return document, False
    else:
        return document, False
    copy = document.copy()
    if is_last and change.removes:
        del copy[key]
    elif is_last:
        copy[key] = change.value
    else:
        copy[key], is_done = _applied(document[key], change, depth + 1)
        if not is_done:
            return document, False
    return copy, True
