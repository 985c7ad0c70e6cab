from __future__ import annotations

import pytest
import yaml

from extauthz.mesh.yaml_text import dump_documents, load_documents


def test_dates_stay_text():
    """JSON has none, so Kubernetes' reader makes none."""
    assert load_documents("a: 2026-01-01\n---\n---\nb: [1, true, null]\n") == [
        {"a": "2026-01-01"},
        {"b": [1, True, None]},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "{a: {b: 1, b: 2}}",
        "1: a\n",
        "[" * 5000,
        "a: !!python/object:x {}",
        "a: b: c",
        "a: .nan",
        "a: !!binary aGk=",
        "a: !!set {b}",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text):
    """Duplicate keys, keys that are no strings, tags, nesting without end."""
    with pytest.raises(yaml.YAMLError):
        load_documents(text)


def test_aliases_are_expanded_and_bounded():
    """Parts that were written once are changed apart; a few lines do not become more than there is memory for."""
    ((found),) = load_documents("a: &x {b: [1]}\nc: *x\n")
    found["a"]["b"].append(2)
    assert found["c"] == {"b": [1]}
    levels = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12))
    with pytest.raises(yaml.YAMLError, match="aliases expanded"):
        load_documents(f"a: &a [x]\n{levels}")
    with pytest.raises(yaml.YAMLError):
        load_documents("&a [*a]")


def test_what_is_written_reads_the_same():
    """Order is kept, and what occurs twice is written twice."""
    part = {"z": 1, "a": "on"}
    text = dump_documents([{"one": part, "two": part}])
    assert "&" not in text
    assert load_documents(text) == [{"one": part, "two": part}]
    assert list(load_documents(text)[0]["one"]) == ["z", "a"]
