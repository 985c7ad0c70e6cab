"""A case set on disk, as an operator would have it, and loaded as the service loads it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import yaml

from extauthz.lowering.ext_authz import reads_body
from extauthz.model.policy import PolicySet
from extauthz.sources.policy_files import load
from tests.harness.case import CaseSet
from tests.harness.tokens import key_set_files


class Site:
    """One policy set under test."""

    def __init__(self, name: str, case_set: CaseSet, directory: Path) -> None:
        self.name = name
        """Of listeners and clusters; unique in a run."""
        self.case_set = case_set
        self.directory = directory
        directory.mkdir()
        policy_path = directory / "policy.yaml"
        policy_path.write_text(case_set.policy)
        rego = [name for name in case_set.files if name.endswith(".rego") or name.startswith("data.")]
        self.paths = (str(policy_path), *(str(directory / name) for name in rego))
        for file_name, text in {**key_set_files(), **case_set.files}.items():
            (directory / file_name).write_text(text)
        self.values_path: Path | None = None
        if case_set.values:
            self.values_path = directory / "values.yaml"
            self.values_path.write_text(yaml.safe_dump(dict(case_set.values)))

    @cached_property
    def policy_set(self) -> PolicySet:
        """
        Raises:
            PolicyError: the set is wrong.
        """  # noqa: D205, D212 - the class says what it is
        values_file = None if self.values_path is None else str(self.values_path)
        return load(self.paths, values_file=values_file).parsed.policy_set

    @property
    def with_body(self) -> bool:
        """Whether Envoy sends bodies: a condition reads them."""
        return reads_body(self.policy_set)
