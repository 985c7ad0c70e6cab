"""What the webhook answers, and what a pod becomes: `mesh/<case>.yaml` -> `mesh/<case>.answer.yaml`.

The patch of an answer is written as JSON that people can read. EXTAUTHZ_REFRESH_GOLDEN=1 rewrites the expectations;
the difference is to be read before it is committed.
"""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from extauthz.mesh.application import answer_review, judge_pod
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.policy_admission import judge_config_map
from extauthz.mesh.yaml_text import dump_documents, load_documents
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger

HERE = Path(__file__).parent / "mesh"
CASES = sorted(path for path in HERE.glob("*.yaml") if not path.name.endswith(".answer.yaml"))


def answer(case: dict[str, Any]) -> Any:
    """What is answered to the review of a case, its patch decoded."""
    settings = InjectorSettings.model_validate({"image": "registry.example/extauthz:1", **case.get("settings", {})})
    logger = build_logger(io.StringIO(), log_format=LogFormat.JSON, level=LogLevel.INFO)
    judges = {
        "Pod": lambda review: judge_pod(review, settings),
        "ConfigMap": lambda review: judge_config_map(review.object),
    }
    review = case["review"]
    kind = ((review.get("request") or {}).get("kind") or {}).get("kind", "Pod")
    found: Any = json.loads(json.dumps(answer_review(json.dumps(review).encode(), judges[kind], logger)))
    if "patch" in found["response"]:
        found["response"]["patch"] = json.loads(base64.b64decode(found["response"]["patch"]))
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_answer_is_as_it_was_read(path):
    """Word for word."""
    expected = path.with_suffix(".answer.yaml")
    (case,) = load_documents(path.read_text())
    actual = dump_documents([answer(case)])
    if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN"):
        expected.write_text(actual)
    assert actual == expected.read_text()


def test_there_are_cases():
    """Each with an answer, and no answer without its case."""
    assert len(CASES) >= 8
    answers = {path.name.removesuffix(".answer.yaml") for path in HERE.glob("*.answer.yaml")}
    assert answers == {path.stem for path in CASES}
