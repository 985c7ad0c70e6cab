import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extauthz.languages.policy_yaml import policy_schema
from extauthz.languages.policy_yaml.language import POLICY
from extauthz.languages.policy_yaml.nodes import plain_value
from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.policy_yaml.shapes import Reading
from tests.policies import read

GOLDEN = Path(__file__).parents[3] / "golden"
# Cases whose shape a schema that knows no values and no YAML can judge.
SHAPE_CODES = {"EAZ201", "EAZ202", "EAZ203", "EAZ204", "EAZ205", "EAZ206", "EAZ208"}
SCHEMA = policy_schema()


def fits(value: Any, schema: Any) -> bool:
    """Whether a value is valid; knows exactly the keywords that our schema uses, and fails on any other."""
    if isinstance(schema, bool):
        return schema
    return all(name in NOTES or KEYWORDS[name](value, argument, schema) for name, argument in schema.items())


def additional(value: dict[str, Any], argument: Any, schema: dict[str, Any]) -> bool:
    patterns = schema.get("patternProperties", {})
    rest = [k for k in value if k not in schema.get("properties", {}) and not any(re.search(p, k) for p in patterns)]
    return all(fits(value[key], argument) for key in rest)


def of(kind: type, keyword: Callable[..., bool]) -> Callable[..., bool]:
    """A keyword that says something about values of one type only."""
    return lambda value, argument, schema: not isinstance(value, kind) or keyword(value, argument, schema)


NOTES = {"$schema", "title", "description", "$defs", "then", "else", "patternProperties"}
TYPES: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool}
DEFINITIONS: Any = SCHEMA["$defs"]
KEYWORDS: dict[str, Callable[..., bool]] = {
    "$ref": lambda v, a, _: fits(v, DEFINITIONS[a.removeprefix("#/$defs/")]),
    "type": lambda v, a, _: isinstance(v, TYPES[a]),
    "enum": lambda v, a, _: any(v == one and type(v) is type(one) for one in a),
    "const": lambda v, a, _: v is a,
    "pattern": of(str, lambda v, a, _: re.search(a, v) is not None),
    "minLength": of(str, lambda v, a, _: len(v) >= a),
    "minItems": of(list, lambda v, a, _: len(v) >= a),
    "items": of(list, lambda v, a, _: all(fits(item, a) for item in v)),
    "required": of(dict, lambda v, a, _: all(key in v for key in a)),
    "properties": of(dict, lambda v, a, _: all(fits(v[key], a[key]) for key in v.keys() & a)),
    "propertyNames": of(dict, lambda v, a, _: all(fits(key, a) for key in v)),
    "additionalProperties": of(dict, additional),
    "anyOf": lambda v, a, _: any(fits(v, one) for one in a),
    "not": lambda v, a, _: not fits(v, a),
    "if": lambda v, a, schema: fits(v, schema["then"] if fits(v, a) else schema["else"]),
}


def test_the_schema_is_json_and_self_contained():
    """An editor needs no other file, and no definition lies about unused."""
    text = json.dumps(SCHEMA)
    assert json.loads(text) == SCHEMA
    references = set(re.findall(r'"#/\$defs/(\w+)"', text))
    assert references == set(DEFINITIONS)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/policy*.yaml")), ids=lambda path: path.parent.name)
def test_the_schema_and_the_reader_agree(path):
    """What the schema refuses, the reader refuses for its shape, and the other way round."""
    root, problems = read(path.read_bytes())
    if root is None or problems or "${" in path.read_text(encoding="utf-8"):
        return  # no YAML, or values that a schema does not know
    report = Report()
    POLICY.read(root, Reading(report, {}))
    shape_is_right = not SHAPE_CODES & {finding.code for finding in report.diagnostics([])}
    assert fits(plain_value(root), SCHEMA) == shape_is_right
