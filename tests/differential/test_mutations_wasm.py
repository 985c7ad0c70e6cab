"""An emitter of modules that is wrong is seen to be: each mutation of its source makes answers differ.

The mutated functions are compiled into modules, which are asked as Envoy would ask them; the answers are the
authorizer's, of the same principal.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extauthz.lowering.wasm import language
from extauthz.lowering.wasm.emitter import compiled_runtime
from tests.differential.modules import disagreements

SETS = 50
REQUESTS = 150

MUTATIONS = {
    "an operator turns what is left into false": (
        "if LEFT in {left, right}:\n        return LEFT",
        "if 1 == 2:\n        return 0",
    ),
    "an error is false": ("return FALSE if left == FALSE and right == FALSE else ERROR", "return FALSE"),
    "a comparison is turned round": (
        "doubles_less(address_of(left), address_of(right))",
        "doubles_less(address_of(right), address_of(left))",
    ),
    "numbers are not compared": ("boolean(doubles_equal(address_of(left), address_of(right)))", "TRUE"),
    "a prefix is enough": (
        "return length == length_of(text) and octets_equal(address, address_of(text), length)",
        "return length >= length_of(text) and octets_equal(address, address_of(text), length_of(text))",
    ),
    "an absent claim is no error": (
        "return ERROR if found == 0 else crossing(found)",
        "return FALSE if found == 0 else crossing(found)",
    ),
    "a repeated header is its first": ("if header_count(name) != 1:", "if header_count(name) == 0:"),
    "paths are prefixes": ("if depth == count:", "if depth == count or load32(node) != 0:"),
    "variables match what is empty": (
        "if load32(node + 8) != 0 and length > 0:",
        "if load32(node + 8) != 0 and length > -1:",
    ),
    "a method of another route's will do": ("return load32(owner + 4)", "return load32(load32(owner) + 8)"),
    "an unknown caller is nobody": (
        "        if caller < 0:\n            return load32(Configured.CALLER_UNKNOWN)",
        "        if caller < 0:\n            caller = 0",
    ),
    "what is asserted is any text": (
        "        if is_text(address, length, load32(texts + 4 + (number << 2))):\n            return 1",
        "        return 1",
    ),
}
"""What is written instead of what."""


@contextmanager
def mutated(old: str, new: str) -> Iterator[None]:
    """Modules are made of a changed source."""
    seen = 0

    def getsource(module: object) -> str:
        nonlocal seen
        text = inspect.getsource(module)  # type: ignore[arg-type]
        seen += text.count(old)
        return text.replace(old, new)

    class Inspect:
        pass

    Inspect.getsource = staticmethod(getsource)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "inspect", Inspect)
        compiled_runtime.cache_clear()
        compiled_runtime()
        assert seen, "nothing was changed"
        try:
            yield
        finally:
            compiled_runtime.cache_clear()


def test_without_a_mutation_nothing_differs() -> None:
    """Thousands of requests to modules, without an Envoy."""
    asked, found = disagreements(80, 60)
    assert asked >= 4000
    assert found == [], "\n\n".join(found[:5])


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutated_emitter_is_seen(name: str) -> None:
    """Some answer differs."""
    with mutated(*MUTATIONS[name]):
        _, found = disagreements(SETS, REQUESTS, stop=True)
        assert found, name
