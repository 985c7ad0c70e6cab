import asyncio
import json
from pathlib import Path

import jsonschema
import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answer, Answerer
from extauthz.model.decision import ALLOWING, Decision, Effect, PolicyId, Reason
from extauthz.telemetry.decision_log import DecisionLog, SubjectForm
from extauthz.telemetry.decision_schema import decision_log_schema
from tests.strategies import make_policy_set, make_route

PUBLISHED = Path(__file__).parents[3] / "deploy" / "decision-log.schema.json"


class Memory:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def close(self):
        pass


def fail(error):
    raise error


def written(answers, subject):
    """The lines that these answers make."""
    sink = Memory()
    log = DecisionLog(sink, subject=subject, key=b"k" * 16, clock=lambda: 1_800_000_000.25, on_failure=fail)

    async def main():
        task = asyncio.ensure_future(log.run())
        await asyncio.sleep(0)
        for answer in answers:
            log.record(answer, "abc123", 0.001234)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    return [json.loads(line) for line in sink.data.splitlines()]


def every_answer():
    """Of each reason, by the real answerer: it makes the decision ids."""
    answerer = Answerer(build_snapshot(make_policy_set(make_route("/open")), KeySets(), VerifiedTokens()))
    for reason in Reason:
        if reason in ALLOWING:
            decision = Decision(
                Effect.ALLOW, (PolicyId("a.allow.b"),), (PolicyId("a.allow.c"),), reason, "a", provider="p", subject="s"
            )
            yield Answer(b"", decision, None, answerer.refuse(Reason.NO_ROUTE).decision_id)
        else:
            yield answerer.refuse(reason)


@pytest.fixture(scope="module")
def validator():
    schema = decision_log_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("subject", SubjectForm)
def test_lines_of_every_reason_fit(validator, subject):
    """Whatever the subject's form; and none has a member that the schema does not describe."""
    lines = written(every_answer(), subject)
    assert {line["reason"] for line in lines} == {str(reason) for reason in Reason}
    for line in lines:
        validator.validate(line)
        assert list(line) == list(validator.schema["properties"])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"time": "2027-01-15 08:00:00"},
        {"decision_id": "x"},
        {"effect": "permit"},
        {"reason": "because"},
        {"status": 600},
        {"policies": "a"},
        {"errors": [None]},
        {"route": 1},
        {"sample_rate": 2},
        {"duration_us": -1},
    ],
)
def test_what_is_no_line_does_not_fit(validator, change):
    """The schema says something about each member."""
    (line,) = written([next(iter(every_answer()))], SubjectForm.OFF)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**line, **change})


def test_members_may_be_added(validator):
    """Within a version: a reader that validates does not break."""
    (line,) = written([next(iter(every_answer()))], SubjectForm.OFF)
    validator.validate({**line, "new": 1})


def test_the_published_schema_is_this_one():
    """The file that others read."""
    assert PUBLISHED.read_text() == json.dumps(decision_log_schema(), indent=2) + "\n"
