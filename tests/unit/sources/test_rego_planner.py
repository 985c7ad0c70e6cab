import stat
import time

import pytest

from extauthz.errors import EnvironmentUnfitError, PolicyError
from extauthz.languages.rego import Module, load_modules
from extauthz.sources import rego_planner
from extauthz.sources.rego_planner import opa_planner, plan_with_regopy
from tests.harness.required import needs_opa

GOOD = Module("good.rego", "package a\n\nr := input.x\n")


def messages(module, planner=plan_with_regopy, entry="a/r"):
    with pytest.raises(PolicyError) as caught:
        planner([module], [entry])
    return str(caught.value)


def test_a_plan_is_made():
    """Several modules, an entry point of a whole package."""
    other = Module("other.rego", "package a\n\ns := data.a.r + 1\n")
    program = load_modules([GOOD, other], {}, ["a", "a/s"], plan_with_regopy)
    assert program.evaluate("a", {"x": 1}, now_ns=0) == {"r": 1, "s": 2}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("package a\n\nr := {\n", "bad.rego:"),
        ("package a\n\nr := 1 if\n", "bad.rego:3:"),
        ("nonsense", "bad.rego:1:1: EAZ851 package expected"),
        ("# package a\n", "bad.rego:1:1: EAZ851 package expected"),
        ("package a\n\n# é\nw if allow with input as 1 with q as 2\n", "bad.rego:4:"),
    ],
)
def test_syntax_errors_have_a_place(text, place):
    """File, line and column, in characters."""
    assert place in messages(Module("bad.rego", text))


@pytest.mark.parametrize("expression", ["[" * 20_000 + "]" * 20_000, "(" * 100_000, "\x00" * 100])
def test_hostile_modules_end_in_an_error(expression):
    """A compiler that crashes takes only its own process with it."""
    assert "EAZ85" in messages(Module("bad.rego", f"package a\nr := {expression}"))


def test_time_and_memory_are_limited(monkeypatch):
    """A compiler that takes too long, or too much, is ended."""
    many = Module(
        "many.rego", "package a\n" + "\n".join(f'r if {{ input.x{i} == "{i}"; input.y == {i} }}' for i in range(3_000))
    )
    monkeypatch.setattr(rego_planner, "MAX_SECONDS", 1)
    started = time.monotonic()
    assert "compiling takes more than 1 s" in messages(many)
    assert time.monotonic() - started < 10
    monkeypatch.setattr(rego_planner, "MAX_SECONDS", 60)
    monkeypatch.setattr(rego_planner, "MAX_MEMORY_BYTES", 40 * 1024**2)
    assert "40 MiB of memory" in messages(many)


def test_the_environment_stays_here(monkeypatch):
    """Neither the compiler nor a policy sees our variables."""
    monkeypatch.setenv("A_SECRET", "value")
    program = load_modules([Module("m.rego", "package a\n\nr := opa.runtime()\n")], {}, ["a/r"], plan_with_regopy)
    assert program.evaluate("a/r", now_ns=0) == {}


def test_a_missing_opa_is_the_machines_fault():
    """Said before anything is compiled."""
    with pytest.raises(EnvironmentUnfitError, match="no such program"):
        opa_planner("no-such-opa")


@pytest.fixture
def fake_opa(tmp_path):
    """A program that answers as OPA does, for a given output."""

    def write(script: str) -> str:
        path = tmp_path / "opa"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


def test_errors_of_opa_have_the_modules_own_names(fake_opa):
    """The names that it compiles under are ours."""
    opa = fake_opa(
        "echo 'error: load error: 1 error occurred during loading: 0.rego:3: rego_parse_error: what' >&2; exit 1"
    )
    assert "good.rego:3:1: EAZ857 rego_parse_error: what" in messages(GOOD, opa_planner(opa))
    assert "EAZ857" in messages(GOOD, opa_planner(fake_opa("exit 1")))


def test_a_hanging_opa_is_ended(fake_opa, monkeypatch):
    """Like any compiler."""
    monkeypatch.setattr(rego_planner, "MAX_SECONDS", 0.2)
    assert "more than 0.2 s" in messages(GOOD, opa_planner(fake_opa("exec sleep 30")))


@pytest.mark.opa
@needs_opa
def test_real_opa():
    """Its plans run, its errors have lines, and each statement its place."""
    program = load_modules([GOOD], {}, ["a/r"], opa_planner())
    assert program.evaluate("a/r", {"x": [1]}, now_ns=0) == [1]
    bad = Module("bad.rego", "package a\n\nr := x\n")
    assert "bad.rego:3:1: EAZ857 rego_unsafe_var_error" in messages(bad, opa_planner())
    clash = Module("clash.rego", "package a\n\nr := to_number(input.x)\n")
    from extauthz.languages.rego import RegoEvaluationError

    with pytest.raises(RegoEvaluationError, match=r"clash\.rego:3: to_number"):
        load_modules([clash], {}, ["a/r"], opa_planner()).evaluate("a/r", {"x": "y"}, now_ns=0, strict=True)


def test_modules_are_never_written(tmp_path):
    """The compiler saves modules beside a plan, by name: those must not be the files that they were read from."""
    path = tmp_path / "a.rego"
    path.write_text("package old\n")
    plan_with_regopy([Module(str(path), "package a\n\nr := 1\n")], ["a"])
    assert path.read_text() == "package old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_modules_of_one_name_are_told_apart():
    """By their folders, in plans and in diagnostics."""
    modules = [Module(f"{folder}/m.rego", f"package {folder}\n\nr := 1\n") for folder in "ab"]
    plan = plan_with_regopy(modules, ["a", "b"])
    assert isinstance(plan, dict)
    assert sorted(file["value"] for file in plan["static"]["files"]) == ["a/m.rego", "b/m.rego"]
    broken = [modules[0], Module("b/m.rego", "package b\n\nr := \n")]
    with pytest.raises(PolicyError) as caught:
        plan_with_regopy(broken, ["a", "b"])
    assert [diagnostic.span.file for diagnostic in caught.value.diagnostics] == ["b/m.rego"]
