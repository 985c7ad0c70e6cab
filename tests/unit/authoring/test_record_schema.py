import json
from pathlib import Path

import jsonschema
import pytest

from extauthz.authoring.record import KeyHolder, RefusedCredential, UnseenCredential, record_line
from extauthz.authoring.record_schema import record_schema
from extauthz.model.decision import Reason
from tests.records import CAROL, record

PUBLISHED = Path(__file__).parents[3] / "deploy" / "record.schema.json"


@pytest.fixture(scope="module")
def validator():
    schema = record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "caller", [None, CAROL, KeyHolder("machines", "m"), RefusedCredential(Reason.TOKEN_EXPIRED), UnseenCredential()]
)
def test_lines_fit(validator, caller):
    """Whoever sent the request; and none has a member that the schema does not describe."""
    line = json.loads(record_line(record(caller=caller, headers=(("a", "b"),), body=b"{}", decision=record().decision)))
    validator.validate(line)
    described = validator.schema["properties"]
    assert list(line) == list(described)
    for name in ("request", "decision"):
        assert list(line[name]) == list(described[name]["properties"])


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"time": "now"}, {"caller": {}}, {"redacted": "x"}, {"request": None}, {"decision": {}}]
)
def test_what_is_no_record_does_not_fit(validator, change):
    """The schema says something about each member."""
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**json.loads(record_line(record())), **change})


def test_the_published_schema_is_this_one():
    """The file that others read."""
    assert PUBLISHED.read_text() == json.dumps(record_schema(), indent=2) + "\n"
