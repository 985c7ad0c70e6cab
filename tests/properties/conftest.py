"""What the properties are checked on: every decision case's policy set and request."""

from __future__ import annotations

import pytest

from tests.harness.corpus import AskedSet, read_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> tuple[AskedSet, ...]:
    return tuple(read_corpus(tmp_path_factory.mktemp("corpus")))
