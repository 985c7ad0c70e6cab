"""Runs cases of OPA's own conformance suite and says what differs.

    python tests/conformance/rego_cases.py CASES.tar.gz [--planner official|regopy|opa] [--only FOLDER]

CASES.tar.gz holds `*.json` files, each `{"cases": [...]}`, a case being modules, data, an input, a query, and what OPA
answers; with each comes OPA's own plan, which `official` runs as it is. Prints the failures and
'N passed, M failed, K skipped'; exits with 2 when something failed. A case is skipped when it needs a built-in that is
refused, which is then named.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from extauthz.errors import PolicyError
from extauthz.languages.rego import UNDEFINED, Module, RegoEvaluationError, Value, load_plan
from extauthz.languages.rego.builtins.table import REFUSED
from extauthz.languages.rego.value import RegoSet, equal, json_text, parse_json
from extauthz.sources.rego_planner import opa_planner, plan_with_regopy

_ENTRY = "eval"

_OUTDATED = {
    "reachable_paths/cycle_1022_3": "graph.reachable_paths missed paths when this was recorded; OPA 1.22 finds them",
}
"""Cases whose expectation OPA itself no longer meets."""


class Result(NamedTuple):
    """What came of a case."""

    note: str
    outcome: str
    """`passed`, `failed` or `skipped`."""
    detail: str = ""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--planner", choices=("official", "regopy", "opa"), default="official")
    parser.add_argument("--only", default="", help="folders or notes that begin so")
    arguments = parser.parse_args()
    results = run(arguments.cases, arguments.planner, arguments.only)
    counts = Counter(result.outcome for result in results)
    for result in results:
        if result.outcome != "passed":
            print(f"{result.outcome}: {result.note}: {result.detail}")  # noqa: T201
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")  # noqa: T201
    return 2 if counts["failed"] else 0


def run(archive: Path, planner: str, only: str = "") -> list[Result]:
    """The results of all cases of an archive."""
    cases = [case for folder, case in read_cases(archive) if f"{folder}/{case['note']}".startswith(only)]
    with ThreadPoolExecutor(1 if planner == "official" else 4) as pool:
        return list(pool.map(lambda case: run_case(case, planner), cases))


def read_cases(archive: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each case with the folder of its file."""
    with tarfile.open(archive) as tar:
        for member in sorted(tar, key=lambda m: m.name):
            file = tar.extractfile(member)
            if file is not None and member.name.endswith(".json"):
                for case in json.load(file)["cases"]:
                    yield Path(member.name).parent.name, case


def run_case(case: dict[str, Any], planner: str) -> Result:
    """Run one case."""
    used = sorted({b["name"] for b in case["plan"]["static"].get("builtin_funcs") or []} & REFUSED.keys())
    if used:
        return Result(case["note"], "skipped", f"needs {', '.join(used)}")
    if case["note"] in _OUTDATED:
        return Result(case["note"], "skipped", _OUTDATED[case["note"]])
    if planner == "opa" and case["query"].startswith("data ="):
        return Result(case["note"], "skipped", "asks for all of data, which no entry point can")
    expects_error = any(key.startswith("want_error") for key in case)
    try:
        got = _official(case) if planner == "official" else _planned(case, planner)
    except (PolicyError, RegoEvaluationError) as error:
        return Result(case["note"], "passed" if expects_error else "failed", str(error))
    if expects_error:
        return Result(case["note"], "failed", f"no error, but {got}")
    want = case["want_plan_result" if planner == "official" else "want_result"] or []
    if _same(got, want, sort_members=bool(case.get("sort_bindings"))):
        return Result(case["note"], "passed")
    return Result(case["note"], "failed", f"got {json.dumps(got)}, want {json.dumps(want)}")


def _official(case: dict[str, Any]) -> list[Value]:
    return _evaluate(case, case["plan"], _ENTRY)


def _planned(case: dict[str, Any], planner: str) -> list[Value]:
    modules = [Module(f"module-{number}.rego", text) for number, text in enumerate(case["modules"])]
    if planner == "regopy":
        plan = plan_with_regopy(modules, [], query=case["query"])
        name = plan["plans"]["plans"][0]["name"]  # type: ignore[index]
        results = _evaluate(case, plan, name)
        return [one["bindings"] for result in results for one in [result["result"]]]
    query = Module("query.rego", _query_module(case["query"]))
    results = _evaluate(case, opa_planner()([*modules, query], ["conformance/results"]), "conformance/results")
    return [bindings for result in results for bindings in result["result"]]


def _query_module(query: str) -> str:
    """A module that collects the bindings of a query's variables."""
    if '$"' in query:  # texts with code in them: what is asked for stands on the left
        variables = re.findall(r"(?:^|; )([a-z_]\w*) = ", query)
    else:
        code = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
        words = set(re.findall(r"(?<![\w.])([a-z_]\w*)(?![\w.(\[])", code))
        variables = sorted(words - {"_", "input", "null", "true", "false"})
    bindings = ", ".join(f'"{name}": {name}' for name in variables)
    return f"package conformance\n\nresults contains {{{bindings}}} if {{ {query} }}\n"


def _evaluate(case: dict[str, Any], plan: object, entry_point: str) -> list[Value]:
    document = UNDEFINED
    if "input" in case:
        document = case["input"]
    elif "input_term" in case:
        document = parse_term(case["input_term"])
    program = load_plan(plan, case.get("data") or {})
    return program.results(entry_point, document, strict=bool(case.get("strict_error")), now_ns=time.time_ns())


def _same(got: list[Value], want: list[Value], *, sort_members: bool) -> bool:
    """Whether results agree in any order; `sort_members` says the same of what variables are bound to."""
    if sort_members:
        got, want = _sorted_members(got), _sorted_members(want)
    got, want = sorted(got, key=json_text), sorted(want, key=json_text)
    return len(got) == len(want) and all(map(equal, got, want))


def _sorted_members(results: list[Value]) -> list[Value]:
    return [
        {name: sorted(value, key=json_text) if isinstance(value, list) else value for name, value in result.items()}
        for result in results
    ]


# --- Input terms: JSON with Rego's sets and trailing commas -----------------------------------------------------------

_TOKEN = re.compile(r'\s*(set\(\)|"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:]+)')


def parse_term(text: str) -> Value:
    """A ground Rego term."""
    tokens = _TOKEN.findall(text)
    value, rest = _term(tokens)
    if rest:
        raise ValueError(f"more than one term: {text}")
    return value


def _term(tokens: list[str]) -> tuple[Value, list[str]]:
    token, rest = tokens[0], tokens[1:]
    if token == "set()":
        return RegoSet(), rest
    if token == "[":
        return _members(rest, "]")
    if token != "{":
        return parse_json(token), rest
    if rest[0] == "}":
        return {}, rest[1:]
    first, after = _term(rest)
    if after[0] == ":":
        return _object(rest)
    del first
    values, rest = _members(rest, "}")
    return RegoSet(values), rest


def _members(tokens: list[str], closing: str) -> tuple[list[Value], list[str]]:
    values: list[Value] = []
    while tokens[0] != closing:
        value, tokens = _term(tokens)
        values.append(value)
        tokens = tokens[1:] if tokens[0] == "," else tokens
    return values, tokens[1:]


def _object(tokens: list[str]) -> tuple[dict[str, Value], list[str]]:
    members: dict[str, Value] = {}
    while tokens[0] != "}":
        key, tokens = _term(tokens)
        members[key], tokens = _term(tokens[1:])
        tokens = tokens[1:] if tokens[0] == "," else tokens
    return members, tokens[1:]


if __name__ == "__main__":
    sys.exit(main())
