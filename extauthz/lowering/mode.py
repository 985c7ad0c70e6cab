"""How Envoy enforces a policy set, as one word.

Alone in this file, since the command line names it before it loads the rest.
"""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Who decides."""

    CHECK = "check"
    """The authorizer, every request (ext_authz)."""
    NATIVE = "native"
    """Envoy's own filters allow and deny what they can exactly; the authorizer decides the rest."""
    WASM = "wasm"
    """A WebAssembly module in Envoy allows and denies what it can exactly; the authorizer decides the rest."""
    SPLIT = "split"
    """Envoy's own filters allow what they can exactly; the authorizer decides the rest, and so every denial."""
