"""Policies and data of ours in a running OPA: what a push changes, and what may be changed.

A push has a name, and its modules the ids `extauthz/NAME/PATH`, where PATH is relative to the folder that was given: so
the next push of that name replaces them, and removes those whose files are gone. What it left is written down in OPA
itself, at `data.extauthz.pushes.NAME`, data documents by their digests. INVARIANT: nothing is replaced or removed that
no push of the same name has left there, unless the caller takes it over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from extauthz.errors import ConfigurationError
from extauthz.languages.rego import DataFile, Value, join_data
from extauthz.languages.rego.value import json_text
from extauthz.model.source import Span
from extauthz.sources.opa_admin import ModuleRejectedError, OpaAdmin
from extauthz.sources.policy_walk import find_files

PUSHES: Final = "extauthz/pushes"
"""Where what was pushed is written down, below `data`."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Action(StrEnum):
    """What a push does."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class LocalPolicies:
    """What is to be there."""

    modules: Mapping[str, str]
    """Texts, by path relative to the folder that was given."""
    files: Mapping[str, str]
    """The names under which those were found, for messages."""
    data: Mapping[str, Value]
    """By key below `data`."""

    @property
    def revision(self) -> str:
        """Twelve hexadecimal digits over all of it."""
        return _digest({"modules": dict(sorted(self.modules.items())), "data": dict(sorted(self.data.items()))})[:12]


@dataclass(frozen=True, slots=True)
class Step:
    """One change, or that there is none."""

    action: Action
    kind: str
    """`policy` or `data`."""
    name: str
    """A module's id, or a key of `data`."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """Everything that a push does."""

    name: str
    local: LocalPolicies
    steps: Sequence[Step]
    is_recorded: bool
    """Whether a push of this name has been there."""
    taken: Mapping[str, Sequence[str]]
    """Keys of `data` that other pushes had left, by the pushes' names."""

    @property
    def changes(self) -> list[Step]:
        return [step for step in self.steps if step.action is not Action.KEEP]


def read_local(paths: Sequence[str]) -> LocalPolicies:
    """The Rego modules and data documents in files and folders; tests are left out.

    Raises:
        PolicyError: a data document cannot be used.
        ConfigurationError: a path or a module cannot be read, two modules would have one id, or there is nothing.
    """
    found = find_files(paths)
    modules: dict[str, str] = {}
    files: dict[str, str] = {}
    for file in found.modules:
        path = _relative(file, paths)
        if path in modules:
            raise ConfigurationError(f"{file} and {files[path]} would both be {path}: push them under different names")
        try:
            modules[path] = Path(file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{file}: not UTF-8") from None
        files[path] = file
    documents = [DataFile(file, folders, Path(file).read_bytes()) for file, folders in found.data.items()]
    if not modules and not documents:
        raise ConfigurationError(f"{', '.join(paths)}: no *.rego, data.json or data.yaml to push")
    data = join_data(documents)
    try:
        json.dumps(data)
    except TypeError:
        raise ConfigurationError("a number in the data has more digits than can be sent: write it as a text") from None
    if "extauthz" in data or "system" in data:
        raise ConfigurationError("data.extauthz and data.system are not for data of yours: name it otherwise")
    return LocalPolicies(modules, files, data)


def check_name(name: str) -> None:
    """
    Raises:
        ConfigurationError: no name for a push.
    """  # noqa: D205, D212 - the name says it
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"--name {name}: lower-case letters, digits and dashes, at most 63")


def plan_push(name: str, local: LocalPolicies, opa: OpaAdmin, *, takes_over: bool) -> PushPlan:
    """Compare with what is there.

    Raises:
        ConfigurationError: data that we would replace is somebody else's.
        EnvironmentUnfitError: as `OpaAdmin`.
    """
    packages = opa.packages()
    prefix = f"extauthz/{name}/"
    there = {id_ for id_ in packages if id_.startswith(prefix)}
    wanted = {prefix + path: text for path, text in local.modules.items()}
    steps = [Step(_module_action(opa, id_, text, there), "policy", id_) for id_, text in sorted(wanted.items())]
    steps += [Step(Action.REMOVE, "policy", id_) for id_ in sorted(there - wanted.keys())]
    pushes = opa.data(PUSHES) or {}
    ours: Mapping[str, str] = pushes.get(name, {}).get("data", {})
    foreign = _foreign_data(opa, packages, pushes, name)
    for key, value in sorted(local.data.items()):
        if key in foreign and not takes_over:
            raise ConfigurationError(
                f"data.{key} is in OPA already, and {foreign[key]}: name it otherwise, or replace it with --take-over"
            )
        same = ours.get(key) == _digest(value)
        steps.append(Step(Action.KEEP if same else Action.CHANGE if key in ours else Action.ADD, "data", key))
    steps += [Step(Action.REMOVE, "data", key) for key in sorted(ours.keys() - local.data.keys())]
    taken = {other: sorted(left["data"].keys() & local.data.keys()) for other, left in pushes.items() if other != name}
    return PushPlan(name, local, steps, name in pushes, {other: keys for other, keys in taken.items() if keys})


def apply_push(plan: PushPlan, opa: OpaAdmin, done: Callable[[Step], None]) -> None:
    """Make the changes: data first, then modules, then removals of modules; and write down what is there.

    OPA takes each module by itself and compiles it among those that are there. So one that is refused is tried again
    after the others, for as long as any is taken.

    Args:
        plan: what to do.
        opa: where.
        done: told of each step.

    Raises:
        ConfigurationError: OPA refuses some; the message has each place in our files, and what was done before.
        EnvironmentUnfitError: as `OpaAdmin`.
    """
    if not plan.changes and plan.is_recorded:
        return
    _write_down(plan, opa, is_whole=False)
    _apply_data(plan, opa, done)
    prefix = f"extauthz/{plan.name}/"
    waiting = [step for step in plan.changes if step.kind == "policy" and step.action is not Action.REMOVE]
    while waiting:
        refused: list[tuple[Step, ModuleRejectedError]] = []
        for step in waiting:
            try:
                opa.put_module(step.name, plan.local.modules[step.name.removeprefix(prefix)])
            except ModuleRejectedError as error:
                refused.append((step, error))
            else:
                done(step)
        if len(refused) == len(waiting):
            raise _refusal(plan, (error for _, error in refused))
        waiting = [step for step, _ in refused]
    for step in plan.changes:
        if step.kind == "policy" and step.action is Action.REMOVE:
            try:
                opa.delete_module(step.name)
            except ModuleRejectedError as error:
                raise _refusal(plan, [error]) from None
            done(step)
    _write_down(plan, opa, is_whole=True)


def _apply_data(plan: PushPlan, opa: OpaAdmin, done: Callable[[Step], None]) -> None:
    for other, keys in plan.taken.items():
        for key in keys:
            opa.remove_data(f"{PUSHES}/{other}/data/{key}")
    changes = [step for step in plan.changes if step.kind == "data"]
    for step in changes:
        if step.action is Action.REMOVE:
            opa.remove_data(step.name)
        else:
            opa.put_data(step.name, plan.local.data[step.name])
        done(step)


def _write_down(plan: PushPlan, opa: OpaAdmin, *, is_whole: bool) -> None:
    """Before the changes as well: nothing is there then of which nobody knows whose it is.

    Until all is there, there is no revision and no digest: a push that fails half-way changes everything the next time.
    """
    if is_whole:
        data = {key: _digest(value) for key, value in sorted(plan.local.data.items())}
    else:
        data = {step.name: "" for step in plan.steps if step.kind == "data"}
    if opa.data("extauthz") is None:
        opa.put_data("extauthz", {"pushes": {}})
    opa.put_data(f"{PUSHES}/{plan.name}", {"revision": plan.local.revision if is_whole else None, "data": data})


def _module_action(opa: OpaAdmin, id_: str, text: str, there: Iterable[str]) -> Action:
    if id_ not in there:
        return Action.ADD
    return Action.KEEP if opa.module(id_) == text else Action.CHANGE


def _foreign_data(
    opa: OpaAdmin, packages: Mapping[str, str], pushes: Mapping[str, Any], name: str
) -> Mapping[str, str]:
    """Base documents that no push of this name has left, by key, and whose they are.

    A key that is a package as well may hold nothing but rules, and is nobody's.
    """
    rules = {path.partition("/")[0] for path in packages.values()}
    whole = opa.data("") or {}
    found = {key: "somebody else's" for key in whole if key not in rules}
    for other, left in pushes.items():
        found |= {key: f"of the push {other}" for key in left["data"] if other != name}
    return {key: whose for key, whose in found.items() if key not in pushes.get(name, {}).get("data", {})}


def _refusal(plan: PushPlan, errors: Iterable[ModuleRejectedError]) -> ConfigurationError:
    prefix = f"extauthz/{plan.name}/"
    findings = sorted({finding for error in errors for finding in error.findings})
    lines = [f"{_place(span, plan.local.files, prefix)}: {message}" for span, message in findings]
    return ConfigurationError("OPA refuses modules; what else was to be pushed is there:\n" + "\n".join(lines))


def _place(span: Span, files: Mapping[str, str], prefix: str) -> str:
    file = files.get(span.file.removeprefix(prefix), span.file)
    return f"{file}:{span.line}:{span.column}"


def _relative(file: str, paths: Sequence[str]) -> str:
    for path in paths:
        if Path(file) != Path(path) and Path(file).is_relative_to(path):
            return Path(file).relative_to(path).as_posix()
    return Path(file).name


def _digest(value: Value) -> str:
    return hashlib.sha256(json_text(value).encode()).hexdigest()
