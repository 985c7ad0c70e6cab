"""What a shape makes of a text, and a record to try shapes on."""

from __future__ import annotations

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.records import Key, Record, RecordOf
from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.policy_yaml.shapes import ListOf, Number, Reading, Shape, Text
from tests.policies import read


class Cat(Record):
    """A cat."""

    name = Key(Text(), "What it is called.", required=True)
    lives = Key(Number((7, 9), Code.NUMBER), "How many there are.")
    kittens = Key(ListOf(RecordOf(lambda: Cat)), "Its young.")


CAT = RecordOf(lambda: Cat)


def reading(**values: str) -> Reading:
    return Reading(Report(), values)


def found(shape: Shape[object], text: str, **values: str) -> list[str]:
    """The codes of what does not fit."""
    root, problems = read(text)
    assert root is not None, problems
    context = reading(**values)
    value = shape.read(root, context)
    codes = [finding.code for finding in context.report.diagnostics([])]
    assert codes or value is not None
    return codes
