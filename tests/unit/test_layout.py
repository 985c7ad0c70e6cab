"""How the repository is laid out, where a slip would go unnoticed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "extauthz"
UNIT_TESTS = ROOT / "tests" / "unit"
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def holds_code(module: Path) -> bool:
    """Whether a module does more than explain a package, pass its names on, or call the command."""
    statements = ast.parse(module.read_text()).body
    passes_on = all(isinstance(s, ast.Expr | ast.Assign | ast.Import | ast.ImportFrom) for s in statements)
    return module.name != "__main__.py" and not (module.name == "__init__.py" and passes_on)


MODULES = sorted(module.relative_to(PACKAGE) for module in PACKAGE.rglob("*.py") if holds_code(module))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_its_test_file(module):
    """`extauthz/a/b.py` is tested in `tests/unit/a/test_b.py`, a package's own code in `test_init.py`."""
    name = module.stem.strip("_")
    assert (UNIT_TESTS / module.parent / f"test_{name}.py").is_file()


def test_every_test_file_mirrors_a_module():
    """A test file whose module was moved or removed is moved or removed with it."""
    mirrored = {UNIT_TESTS / module.parent / f"test_{module.stem.strip('_')}.py" for module in MODULES}
    assert set(UNIT_TESTS.rglob("test_*.py")) - mirrored == {Path(__file__)}


@pytest.mark.parametrize("test_file", TEST_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_says_what_it_proves(test_file):
    """A test's docstring is the behaviour that it proves."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = [node for node in ast.walk(ast.parse(test_file.read_text())) if isinstance(node, functions)]
    silent = [test.name for test in tests if test.name.startswith("test_") and not ast.get_docstring(test)]
    assert not silent


def test_the_envoy_folder_is_data():
    """A package `envoy` at the root would hide the protobufs' package of that name."""
    assert not list((ROOT / "envoy").rglob("*.py"))


def test_tests_are_no_package():
    """Under importlib mode an `__init__.py` would make file names collide again."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
