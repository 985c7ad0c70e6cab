from __future__ import annotations

import pytest
from pydantic import ValidationError

from extauthz.mesh.selector import LabelSelector


def selector(*expressions, **labels):
    """A selector as its YAML has it."""
    return LabelSelector.model_validate({"matchLabels": labels, "matchExpressions": list(expressions)})


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "api"]}, {"web"}),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, {"db", None}),
        ({"key": "app", "operator": "Exists"}, {"web", "db"}),
        ({"key": "app", "operator": "DoesNotExist"}, {None}),
    ],
)
def test_operators(expression, selected):
    """An absent label is in no list, so `NotIn` selects it."""
    found = {value for value in ("web", "db", None) if selector(expression).matches({"app": value} if value else {})}
    assert found == selected


def test_everything_must_match():
    """All labels and all expressions."""
    both = selector({"key": "tier", "operator": "Exists"}, app="web")
    assert both.matches({"app": "web", "tier": "1"})
    assert not both.matches({"app": "web"})
    assert not both.matches({"tier": "1"})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"matchLabels": {}},
        {"matchLabel": {"a": "b"}},
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
        {"matchExpressions": [{"key": "a", "operator": "Equals", "values": ["b"]}]},
    ],
)
def test_what_would_select_something_else_is_refused(document):
    """An empty selector selects everything, which nobody means here."""
    with pytest.raises(ValidationError):
        LabelSelector.model_validate(document)
