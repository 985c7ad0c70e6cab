import subprocess
import sys

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego import Module, load_plan
from extauthz.languages.rego.compiler import compile_document
from extauthz.languages.rego.marks import LineMarks
from extauthz.sources.rego_planner import plan_with_regopy

PLAN = plan_with_regopy([Module("t.rego", "package t\n\nresult := input.x + 1\n")], ["t/result"])


def test_a_document_becomes_a_program():
    """Its source is Python, and it answers."""
    program = compile_document(PLAN, {}, None)
    compile(program.source, "<rego>", "exec")
    assert program.evaluate("t/result", {"x": 1}, now_ns=0) == 2


def test_with_marks_lines_are_counted():
    """Into the marks that were given; without any the code holds nothing of it."""
    marks = LineMarks()
    compile_document(PLAN, {}, marks).evaluate("t/result", {"x": 1}, now_ns=0)
    assert sum(marks.counts) > 0
    assert "MARKS" not in compile_document(PLAN, {}, None).source


@pytest.mark.parametrize("document", [None, [], {}, {"plans": 1}])
def test_what_is_no_plan_is_refused(document):
    """With the code for it."""
    with pytest.raises(PolicyError, match="not a plan"):
        load_plan(document, {})


def test_nothing_of_it_is_imported_without_a_plan():
    """Neither by the command line with a set nor by the service: the intermediate form, the compiler, the built-ins."""
    code = (
        "import sys, extauthz.app, extauthz.authoring.explain, extauthz.sources.policy_files\n"
        "room = 'extauthz.languages.rego.'\n"
        "heavy = [room + name for name in ('compiler', 'ir', 'builtins')]\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
