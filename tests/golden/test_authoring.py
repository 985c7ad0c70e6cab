"""What the authoring commands print, word for word: `<case>/<name>.txt`, run in the case's folder.

EXTAUTHZ_REFRESH_GOLDEN=1 rewrites the expectations; the difference is to be read before it is committed.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from extauthz.cli import run

HERE = Path(__file__).parent
SET = "../policy-test/set.yaml"
AT = "--at 2026-03-02T03:00:00Z"
CAROL = '{"sub": "carol", "orders": ["7"]}'
EVE = '{"sub": "eve", "roles": ["reader"], "suspended": true, "store": "paris"}'
MAIL = '{"sub": "max", "groups": ["friends"], "mails": [{"box": "in", "open": false}, {"box": "out"}]}'
PREFLIGHT = "--header 'origin: https://app.example' --header 'access-control-request-method: GET'"
MALLORY = '{"sub": "mallory", "roles": ["approver"]}'
COMMANDS = {
    "policy-test/errors.txt": (3, "policy test set.yaml broken_test.yaml"),
    "policy-test/failures.txt": (2, "policy test set.yaml failing_test.yaml"),
    "policy-test/junit.txt": (2, "policy test set.yaml failing_test.yaml --run 'refund: c*' --format junit"),
    "policy-coverage/text.txt": (0, f"policy coverage {SET} partial_test.yaml"),
    "policy-coverage/source.txt": (0, f"policy coverage {SET} partial_test.yaml --format source"),
    "policy-coverage/lcov.txt": (
        2,
        f"policy coverage {SET} partial_test.yaml --format lcov --fail-under 80 --kind rule",
    ),
    "policy-test/json.txt": (2, "policy test set.yaml failing_test.yaml --run 'refund: clerk*' --format json"),
    **{
        f"policy-diff/{f}.txt": (2, f"policy diff old.yaml new.yaml --format {f}") for f in ("text", "markdown", "json")
    },
    "policy-diff/same.txt": (0, "policy diff old.yaml old.yaml"),
    "policy-validate/lint.txt": (0, "policy validate unwise.yaml --lint"),
    "policy-format/diff.txt": (0, "policy format untidy.yaml --diff"),
    "policy-format/check.txt": (2, "policy format untidy.yaml ../policy-test/set.yaml --check"),
    "policy-format/json.txt": (2, "policy format untidy.yaml ../policy-test/set.yaml --check --format json"),
    "replay/text.txt": (2, "replay log.jsonl new.yaml"),
    "replay/accepted.txt": (0, "replay log.jsonl new.yaml --accept accepted.yaml"),
    "replay/json.txt": (2, "replay log.jsonl new.yaml --format json"),
    "replay/cut.txt": (0, "replay cut.jsonl old.yaml"),
    "replay/errors.txt": (3, "replay broken.jsonl old.yaml"),
    "replay/misspelt.txt": (3, "replay log.jsonl new.yaml --accept misspelt.yaml"),
    "policy-rule/page.txt": (0, "policy rule EAZ902"),
    **{f"policy-matrix/{f}.txt": (0, f"policy matrix {SET} --format {f}") for f in ("text", "markdown", "csv", "svg")},
    "policy-explain/allowed.txt": (0, f"policy explain {SET} --path /orders/7 --claims '{CAROL}' {AT}"),
    "policy-explain/missed.txt": (2, f"policy explain {SET} --path /orders/8 --claims '{CAROL}' {AT}"),
    "policy-explain/denied.txt": (2, f"policy explain {SET} --path /stores/berlin/stock --claims '{EVE}' {AT}"),
    "policy-explain/required.txt": (
        2,
        f"policy explain {SET} --path /orders/7/refund --method POST --claims '{EVE}' {AT}",
    ),
    "policy-explain/loop.txt": (2, f"policy explain {SET} --path /mail --claims '{MAIL}' {AT}"),
    "policy-explain/anonymous.txt": (2, f"policy explain {SET} --path /mail {AT}"),
    "policy-explain/refused.txt": (2, f"policy explain {SET} --path /orders --token nonsense {AT}"),
    "policy-explain/no_route.txt": (
        2,
        f"policy explain {SET} --path /orders/7 --method DELETE --claims '{CAROL}' {AT}",
    ),
    "policy-explain/nowhere.txt": (2, f"policy explain {SET} --path /stores/berlin --claims '{CAROL}' {AT}"),
    "policy-explain/ambiguous.txt": (2, f"policy explain {SET} --path /orders/../7 {AT}"),
    "policy-explain/preflight.txt": (0, f"policy explain {SET} --path /orders --method OPTIONS {PREFLIGHT} {AT}"),
    "rego-tools/test.txt": (2, "policy test set"),
    "rego-tools/test-json.txt": (2, "policy test set --run '*beyond' --format json"),
    "rego-tools/test-junit.txt": (2, "policy test set --format junit"),
    "rego-tools/coverage.txt": (2, "policy coverage set --kind rego"),
    "rego-tools/source.txt": (2, "policy coverage set --kind rego --format source"),
    "rego-tools/explain.txt": (2, f"policy explain set --path /invoices/7 --claims '{MALLORY}' {AT}"),
    "rego-tools/explain-json.txt": (
        2,
        f"policy explain set --path /invoices/7 --claims '{MALLORY}' {AT} --format json",
    ),
    "rego-tools/matrix.txt": (0, "policy matrix set"),
    "policy-explain/json.txt": (
        2,
        f"policy explain {SET} --path /body --method POST --claims '{CAROL}' {AT} --format json",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_prints_as_written_down(name, capsys, monkeypatch):
    """Output, places and exit code are exactly the golden file's; only durations and decision ids vary."""
    code, arguments = COMMANDS[name]
    monkeypatch.chdir((HERE / name).parent)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PATH", "")  # an OPA there would compile Rego, and leave out what it prints
    assert run(shlex.split(arguments)) == code
    captured = capsys.readouterr()
    text = f"$ extauthz {arguments}\n{captured.out}{captured.err}"
    text = re.sub(r"( in |time=\")\d+\.\d+(?= s$|\")", r"\1N", text, flags=re.MULTILINE)
    text = re.sub(r"\b[0-9a-f]{20}\b", "ID", text)
    if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") == "1":
        (HERE / name).write_text(text, encoding="utf-8", newline="")
    assert text == (HERE / name).read_bytes().decode()
