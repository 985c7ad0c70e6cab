"""The drop-in answers as the real opa-envoy-plugin does: its own answers, read off, on both transports."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from tests.conformance.opa_envoy_cases import groups_of, problems_of, read_cases

CASES = Path(__file__).with_name("opa_envoy_cases.json")
FURTHER = os.environ.get("OPA_ENVOY_CASES")


def problems(cases, transport):
    with tempfile.TemporaryDirectory(prefix="oe-") as folder:  # short: the paths of Unix sockets are
        return asyncio.run(problems_of(cases, Path(folder), transport))


@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
@pytest.mark.parametrize("cases", groups_of(read_cases(CASES)), ids=lambda cases: cases[0]["name"])
def test_recorded_answers(cases, transport):
    """Reply, failure and line of the decision log."""
    assert problems(cases, transport) == []


@pytest.mark.skipif(FURTHER is None, reason="OPA_ENVOY_CASES names no file of cases")
@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
def test_further_cases(transport):
    """Other cases of the same form."""
    found = [problem for cases in groups_of(read_cases(Path(str(FURTHER)))) for problem in problems(cases, transport)]
    assert found == []


def test_the_cases_are_many_and_named():
    """None is lost among others of its name."""
    names = [case["name"] for case in read_cases(CASES)]
    assert len(names) == len(set(names)) > 200


def test_a_difference_is_told():
    """A runner that finds nothing would prove nothing."""
    case = {
        "name": "one",
        "rego": "package envoy.authz\n\nallow := true\n",
        "query_path": "envoy/authz/allow",
        "request": {},
        "expect": {"allowed": False, "log": {"result": False}},
    }
    assert len(problems([case], "h2corn")) == 2
    assert (
        len(problems([{**case, "expect": {"rpc_error": {"code": "UNKNOWN", "message_contains": ""}}}], "h2corn")) == 1
    )
    assert problems([{**case, "expect": {"config_error": True}}], "h2corn") == ["one: the service started"]
