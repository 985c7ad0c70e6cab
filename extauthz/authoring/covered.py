"""What tests can exercise of a policy set, by kind; apart, so that the command line can name the kinds quickly."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A kind of thing that can be exercised."""

    ROUTE = "route"
    RULE = "rule"
    ROLE = "role"
    BINDING = "binding"
    CONDITION = "condition"
    REGO = "rego"
