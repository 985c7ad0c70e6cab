"""The JSON Schema of a policy file, for editors: generated from the same description that files are read by."""

from __future__ import annotations

from extauthz.languages.policy_yaml.language import POLICY
from extauthz.languages.policy_yaml.shapes import Definitions


def policy_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of one policy file, self-contained, with descriptions.

    It holds shape only: names, overlaps and conditions are checked by reading the set. `version` is required of the
    set, not of each of its files, so the schema does not ask for it.
    """
    definitions: Definitions = {}
    reference = POLICY.schema(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "extauthz policy",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }
