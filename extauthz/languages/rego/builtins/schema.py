"""JSON Schema (json.match_schema, json.verify_schema), by the library `jsonschema`.

Nothing is fetched: a reference to another document is an error. Patterns are matched by RE2, so that no request can
make them slow; a schema for numbers in a text's form sees Rego's numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry as References
from referencing.exceptions import Unresolvable

from extauthz.languages.rego.builtins.regexes import compiled
from extauthz.languages.rego.builtins.registry import Registry
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import Value, json_text, parse_json, to_json

SCHEMA = Registry()

_MAX_ERRORS = 100
_REFERENCES: Any = References()


def _document(value: Value) -> Value:
    """A document from an object or its JSON text."""
    if type(value) is str:
        return parse_json(value)
    if type(value) is dict:
        return to_json(value)
    raise BuiltinError("wrong type, expected string or object")


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compiled(pattern).search(instance):
        yield ValidationError("Does not match the pattern")


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, _: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if compiled(pattern).search(name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    patterns = [compiled(pattern) for pattern in schema.get("patternProperties", {})]
    for name, value in instance.items():
        if name in schema.get("properties", {}) or any(pattern.search(name) for pattern in patterns):
            continue
        if rule is False:
            yield ValidationError("Additional properties are not allowed")
        elif validator.is_type(rule, "object"):
            yield from validator.descend(value, rule, path=name)


@functools.lru_cache(maxsize=32)
def _validator_class(base: Any) -> Any:
    types = base.TYPE_CHECKER.redefine_many(
        {
            "number": lambda _, value: isinstance(value, (int, float, Decimal)) and not isinstance(value, bool),
            "integer": lambda _, value: (
                not isinstance(value, bool)
                and (isinstance(value, int) or (isinstance(value, (float, Decimal)) and value == value // 1))
            ),
        }
    )
    replaced = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    return extend(base, replaced, type_checker=types)


def _validator(schema: Value) -> Any:
    """A validator for a schema of its draft, 7 when it names none.

    Raises:
        BuiltinError: it is no schema.
    """
    base = validator_for(schema, default=jsonschema.Draft7Validator)
    try:
        base.check_schema(schema)
    except SchemaError as error:
        raise BuiltinError(f"jsonschema: not a schema: {error.validator}") from None
    return _validator_class(base)(schema, registry=_REFERENCES, format_checker=base.FORMAT_CHECKER)


@SCHEMA.add("json.verify_schema", 1)
def verify_schema(schema: Value) -> list[Value]:
    """Whether something is a schema, and why not."""
    try:
        _validator(_document(schema))
    except BuiltinError as error:
        return [False, str(error)]
    return [True, None]


@SCHEMA.add("json.match_schema", 2, stateful=True)
def match_schema(evaluation: Evaluation, document: Value, schema: Value) -> list[Value]:
    """Whether a document is as a schema says, and each error."""
    validator, instance = _validator(_document(schema)), _document(document)
    evaluation.spend(len(json_text(instance)))
    try:
        found = [error for _, error in zip(range(_MAX_ERRORS), validator.iter_errors(instance), strict=False)]
    except Unresolvable:
        raise BuiltinError("jsonschema: a reference that cannot be resolved") from None
    errors = [
        {
            "desc": error.message,
            "error": f"{_field(error)}: {error.message}",
            "field": _field(error),
            "type": str(error.validator),
        }
        for error in found
    ]
    return [not errors, errors]


def _field(error: ValidationError) -> str:
    return ".".join(map(str, error.absolute_path)) or "(root)"
