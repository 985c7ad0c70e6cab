"""Generates policies and inputs, and compares our answers with OPA's.

    python tests/conformance/rego_differential.py SEEDS [--planner opa|regopy] [--opa BINARY]

SEEDS is a range such as `1-40`; each seed makes a policy of many rules and evaluates it on several inputs, in both
modes of built-ins' errors. Prints the differences and 'N passed, M failed'; exits with 2 when there is one. What the
`regopy` planner refuses to compile counts as 'refused', not as a difference.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extauthz.errors import PolicyError
from extauthz.languages.rego import UNDEFINED, Module, RegoEvaluationError, RegoProgram, load_modules
from extauthz.languages.rego.value import equal, json_text, parse_json
from extauthz.sources.rego_planner import opa_planner, plan_with_regopy

RULES = 25
INPUTS = 4
NOW_NS = 1_700_000_000_000_000_000

ERROR = "<error>"
DATA = {
    "roles": {"admin": ["read", "write"], "dev": ["read"], "ops": []},
    "limits": {"a": 1, "b": 2.5, "c": -3},
    "flags": [True, False, None],
    "nets": ["10.0.0.0/8", "192.168.0.0/16", "bad"],
}
_HEAD = """package t

f(x) := x + 1 if is_number(x)

f(x) := concat("", [x, "!"]) if is_string(x)

g(x, y) := z if { z := x * y; z > 0 } else := "low" if x < y
"""
_KEYS = ("user", "roles", "n", "path", "flag", "obj", "list", "missing")


class Generator:
    """Well-formed expressions, most of them well-typed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.serial = 0

    def pick(self, *options: str) -> str:
        """One of the options."""
        return self.random.choice(options)

    def rules(self) -> dict[str, str]:
        """Numbered rules `r0`, `r1`, ..., each using those before it."""
        return {f"r{number}": self.rule(number) for number in range(RULES)}

    def rule(self, number: int) -> str:
        """A rule of some kind."""
        name = f"r{number}"
        body = self.body(number)
        match self.random.randrange(8):
            case 0:
                return f"default {name} := {self.scalar()}\n{name} := {self.scalar()} if {{ {body} }}"
            case 1:
                return f"{name} if {{ {body} }}\n{name} if {{ {self.body(number)} }}"
            case 2:
                return f"{name} contains v if {{ {body}; v := {self.value(number, 1)} }}"
            case 3:
                return f"{name}[k] := v if {{ some k in {self.strings()}; {body}; v := {self.value(number, 1)} }}"
            case 4:
                return f"{name} := {self.value(number, 2)} if {{ {body} }} else := {self.scalar()}"
            case 5:
                return f"{name} := {self.value(number, 2)}"
            case 6:
                return f"{name}.a[k] := 1 if {{ some k in {self.strings()}; {body} }}\n{name}.b := {self.scalar()}"
            case _:
                source = f"r{self.random.randrange(number)}" if number else "input.user"
                replaced = self.pick("input.n", "input.user", "input.obj.x", "data.limits.a", "input")
                value = self.pick(self.scalar(), '{"n": 1}', "w", "w")
                negated = self.pick(f"v := {source}", f"v := 1; not {source}")
                return f"{name} := v if {{ w := {self.reference()}; {negated} with {replaced} as {value} }}"

    def body(self, number: int) -> str:
        """One to three expressions."""
        return "; ".join(self.expression(number) for _ in range(self.random.randint(1, 3)))

    def variable(self) -> str:
        """A new variable."""
        self.serial += 1
        return f"v{self.serial}"

    def expression(self, number: int) -> str:
        """Something that holds or not."""
        one, other = self.value(number, 1), self.value(number, 1)
        variable, collection = self.variable(), self.collection()
        text, more = self.text(), self.text()
        return self.pick(
            f"{one} {self.pick('==', '!=', '<', '<=', '>', '>=')} {other}",
            f"not {self.reference()}",
            f"some {variable} in {collection}; {variable} {self.pick('==', '!=')} {other}",
            f"every {variable} in {collection} {{ {variable} {self.pick('!=', '<')} {other} }}",
            f"{self.pick('startswith', 'endswith', 'contains')}({text}, {more})",
            f"{one} in {collection}",
            f"not {one} in {collection}",
            f"{variable} := f({one}); {variable} != {other}",
            f"not {self.pick('startswith', 'contains')}({text}, {more})",
            f"{variable} := {self.reference()}; {self.type_test()}({variable})",
            f"[{variable}, _] = {collection}; {variable} != {one}",
            f"some {variable}, {variable}x in {collection}; {variable}x {self.pick('==', '!=')} {other}",
            f'{{"x": {variable}}} = {self.reference()}; {variable} != {one}',
            f"{self.reference()}[{variable}] == {other}; {variable} != {one}",
            f"walk({self.reference()}, [{variable}, {variable}x]); {variable}x == {other}",
            f"not {self.reference()} {self.pick('==', '!=')} {other}",
            f"not {self.number(number)} {self.pick('==', '>')} {self.number(number)}",
            f"count({collection}) {self.pick('>', '<', '==')} {self.random.randrange(4)}",
        )

    def type_test(self) -> str:
        """The name of a test for a type."""
        return self.pick("is_string", "is_number", "is_array", "is_object", "is_boolean", "is_null", "is_set")

    def scalar(self) -> str:
        """A literal."""
        return self.pick("1", "2", "2.5", "-1", "0", '"a"', '"admin"', '"read"', "true", "false", "null")

    def reference(self) -> str:
        """Something in a document."""
        key = self.random.choice(_KEYS)
        return self.pick(
            f"input.{key}",
            f'input["{key}"]',
            "input.list[0]",
            "input.obj.x",
            "input.obj.y.z",
            "data.limits.a",
            "data.limits[input.user]",
            "data.roles[input.user]",
            "data.flags[0]",
            "data.nothing.here",
        )

    def strings(self) -> str:
        """An array of strings."""
        return self.pick('["a", "b"]', '["x"]', '["b", "a", "c"]')

    def text(self) -> str:
        """Most of the time a string."""
        return self.pick(
            '"a"', '"/x"', "input.user", "input.path", 'lower("AbC")', 'concat("/", ["x", "y"])', "input.n"
        )

    def number(self, number: int) -> str:
        """Most of the time a number."""
        simple = self.pick("1", "2.5", "input.n", "count(input.list)", "data.limits.b", "to_number(input.user)")
        if number and self.random.random() < 0.2:
            return f"r{self.random.randrange(number)}"
        return f"({simple} {self.pick('+', '-', '*', '/')} {self.pick('1', '2', 'input.n')})" if self.coin() else simple

    def coin(self) -> bool:
        """Heads or tails."""
        return self.random.random() < 0.5

    def collection(self) -> str:
        """Most of the time a collection."""
        variable = self.variable()
        return self.pick(
            "input.list",
            "input.roles",
            "input.obj",
            "data.roles.admin",
            "data.limits",
            '{"a", "admin", 1}',
            '[1, "a", {"k": 2}]',
            "{}",
            f"[{variable} | some {variable} in input.list]",
            f'{{{variable} | some {variable} in input.roles; {variable} != "dev"}}',
            f"{{{variable}: 1 | some {variable} in {self.strings()}}}",
            "numbers.range(1, 3)",
            "object.keys(data.limits)",
            "input.user",
        )

    def value(self, number: int, depth: int) -> str:
        """Any value."""
        if number and self.random.random() < 0.2:
            return f"r{self.random.randrange(number)}"
        if depth and self.random.random() < 0.4:
            inner, more = self.value(number, depth - 1), self.value(number, depth - 1)
            return self.pick(
                f"[{inner}, {more}]",
                f'{{"k": {inner}, "l": {more}}}',
                f"{{{inner}, {more}}}",
                f"f({inner})",
                f"g({self.number(number)}, {self.number(number)})",
                f'object.get({inner}, "k", {more})',
                f'sprintf("%v-%v", [{inner}, {more}])',
                f"count({self.collection()})",
                f"sort({self.collection()})",
                f"json.marshal({inner})",
                f'split({self.text()}, "/")',
                f"to_number({inner})",
                f"max({self.collection()})",
                f"sum({self.collection()})",
                f"array.concat({self.collection()}, [{inner}])",
                f"type_name({inner})",
                f'$"<{{{inner}}}>"' if '"' not in inner and "{" not in inner else inner,
            )
        return self.pick(self.scalar(), self.reference(), self.number(number), self.text())

    def document(self) -> dict[str, Any]:
        """An input."""
        some: dict[str, Any] = {
            "user": self.random.choice(["admin", "dev", "7", "", 5]),
            "roles": self.random.choice([["admin"], ["dev", "ops"], [], "admin"]),
            "n": self.random.choice([0, 1, 2, 2.5, -1, 1e3, "x", None]),
            "path": self.random.choice(["/x/y", "x", "", "/x"]),
            "flag": self.random.choice([True, False]),
            "obj": self.random.choice([{"x": 1, "y": {"z": True}}, {}, {"x": [1, 2]}, 3]),
            "list": self.random.choice([[1, 2], [], ["a", 1], [[1], {"k": 1}], [True, 1, "1"], {"a": 1}]),
        }
        return {key: value for key, value in some.items() if self.random.random() < 0.9}


def module_text(rules: Mapping[str, str]) -> str:
    """A module of some rules."""
    return _HEAD + "\n" + "\n\n".join(rules.values()) + "\n"


def with_dependencies(name: str, rules: Mapping[str, str]) -> dict[str, str]:
    """A rule with those that it uses."""
    wanted: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in wanted and current in rules:
            wanted.add(current)
            waiting += re.findall(r"\br\d+\b", rules[current])
    return {key: text for key, text in rules.items() if key in wanted}


class OpaServer:
    """A real OPA that answers for one policy after the other."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.socket = folder / "opa.sock"
        self.process = subprocess.Popen(
            [binary, "run", "--server", "--log-level", "error", "--addr", f"unix://{self.socket}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(200):
            if self.socket.exists():
                break
            time.sleep(0.05)
        for key, value in DATA.items():
            self.request("PUT", f"/v1/data/{key}", json.dumps(value))

    def request(self, method: str, path: str, body: str) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        connection = _UnixConnection(str(self.socket))
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, json.loads(content) if content else None

    def accepted(self, rules: dict[str, str]) -> dict[str, str]:
        """Those of the rules that OPA compiles."""
        while True:
            text = module_text(rules)
            connection = _UnixConnection(str(self.socket))
            connection.request("PUT", "/v1/policies/t", text, {"Content-Type": "text/plain"})
            response = connection.getresponse()
            content = json.loads(response.read() or b"null")
            connection.close()
            if response.status == 200:
                return rules
            lines = {error["location"]["row"] for error in content["errors"]}
            bad = {name for name in rules if _lines_of(name, rules) & lines}
            if not bad:
                raise RuntimeError(f"OPA refuses what is no rule: {content}")
            rules = {name: rule for name, rule in rules.items() if name not in bad}

    def answer(self, name: str, document: Any, *, strict: bool) -> Any:
        """The value of a rule; UNDEFINED; or ERROR."""
        path = f"/v1/data/t/{name}?strict-builtin-errors={'true' if strict else 'false'}"
        status, content = self.request("POST", path, json.dumps({"input": document}))
        if status != 200:
            return ERROR
        return content.get("result", UNDEFINED)

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def _lines_of(name: str, rules: Mapping[str, str]) -> set[int]:
    first = _HEAD.count("\n") + 2
    for other, text in rules.items():
        last = first + text.count("\n")
        if other == name:
            return set(range(first, last + 1))
        first = last + 2
    raise KeyError(name)


def compare(seed: int, planner: str, server: OpaServer) -> list[tuple[str, str]]:
    """What came of each rule on each input."""
    generator = Generator(seed)
    rules = server.accepted(generator.rules())
    documents = [generator.document() for _ in range(INPUTS)]
    programs = compiled(rules, planner, server.binary)
    results: list[tuple[str, str]] = []
    for name in rules:
        program = programs.get(name)
        if program is None:
            results.append(("refused", name))
            continue
        for document, strict in itertools.product(documents, (False, True)):
            ours = our_answer(program, name, document, strict=strict)
            theirs = server.answer(name, document, strict=strict)
            if strict and (ours == ERROR) != (theirs == ERROR) and (planner == "regopy" or ours == ERROR):
                # Which of several expressions is evaluated first is the compiler's choice, and OPA's index leaves out
                # rules that cannot hold, errors in them included.
                ours = our_answer(program, name, document, strict=False)
                theirs = server.answer(name, document, strict=False)
            same = ours is theirs or ERROR == ours == theirs or same_json(ours, theirs)
            text = module_text(with_dependencies(name, rules))
            detail = f"{name} strict={strict}: got {ours!r}, want {theirs!r}\n{json.dumps(document)}\n{text}"
            results.append(("passed" if same else "failed", detail))
    return results


def same_json(ours: Any, theirs: Any) -> bool:
    """Whether two values agree; OPA's numbers arrive here as doubles."""
    if ERROR in (ours, theirs) or UNDEFINED in (ours, theirs):
        return False
    text = json_text(ours)
    return bool(equal(parse_json(json.dumps(theirs)), parse_json(text))) or bool(json.loads(text) == theirs)


def compiled(rules: Mapping[str, str], planner: str, binary: str) -> dict[str, RegoProgram]:
    """A program for each rule: one for all, or, where that is refused, one for each."""
    plan = opa_planner(binary) if planner == "opa" else plan_with_regopy
    try:
        names = [f"t/{name}" for name in rules]
        program = load_modules([Module("t.rego", module_text(rules))], DATA, names, plan)
    except PolicyError:
        if planner == "opa":
            raise
    else:
        return dict.fromkeys(rules, program)
    found: dict[str, RegoProgram] = {}
    for name in rules:
        text = module_text(with_dependencies(name, rules))
        try:
            found[name] = load_modules([Module("t.rego", text)], DATA, [f"t/{name}"], plan)
        except PolicyError:
            continue
    return found


def our_answer(program: RegoProgram, name: str, document: Any, *, strict: bool) -> Any:
    """The value of a rule; UNDEFINED; or ERROR."""
    try:
        return program.evaluate(f"t/{name}", document, now_ns=NOW_NS, strict=strict)
    except RegoEvaluationError:
        return ERROR


def run(seeds: range, planner: str, binary: str) -> list[tuple[str, str]]:
    """The results of all seeds."""
    with tempfile.TemporaryDirectory() as folder:
        server = OpaServer(binary, Path(folder))
        try:
            return [(o, f"seed {seed}: {d}") for seed in seeds for o, d in compare(seed, planner, server)]
        finally:
            server.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", help="such as 1-40")
    parser.add_argument("--planner", choices=("opa", "regopy"), default="opa")
    parser.add_argument("--opa", default="opa")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    results = run(range(int(first), int(last or first) + 1), arguments.planner, arguments.opa)
    counts = Counter(outcome for outcome, _ in results)
    for outcome, detail in results:
        if outcome == "failed":
            print(detail)  # noqa: T201
    refused = f", {counts['refused']} refused" if counts["refused"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{refused}")  # noqa: T201
    return 2 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
