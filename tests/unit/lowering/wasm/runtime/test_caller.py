"""Who sends a request."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.lowering.wasm.emitter import Emitter
from extauthz.lowering.wasm.runtime.layout import Cell, Configured
from tests.harness.machine import Machine, metadata


def machine_with(properties: dict[str, bytes]) -> Machine:
    emitter = Emitter()
    text = emitter.data.text
    rows = [(text("anonymous"), 0, 0)]
    rows += [(text(f"provider_{name}"), text(f"claims_{name}"), 1) for name in ("corp", "partner")]
    configured = {Configured.PROVIDERS: emitter.data.numbers((len(rows), *(n for row in rows for n in row)))}
    emitter.module.table_index(emitter.function(b"\0"))
    return Machine(emitter, configured, properties=properties)


@pytest.mark.parametrize(
    ("properties", "caller"),
    [
        (metadata("anonymous"), 0),
        (metadata("provider_corp", sub="alice"), 1),
        (metadata("provider_partner", "partner", sub="bob"), 2),
        (metadata("provider_partner", "corp", sub="bob"), -1),
        (metadata("provider_corp"), -1),
        (metadata("provider_other", sub="alice"), -1),
        (metadata("anonymousx"), -1),
        (metadata(None, sub="alice"), -1),
        ({"metadata": b"\xff\xff"}, -1),
        ({"metadata": b""}, -1),
        ({}, -1),
    ],
)
def test_a_caller_is_who_the_filter_in_front_says(properties, caller):
    """With the payload of that provider's token; anything else is not known here."""
    assert machine_with(properties).call("read_caller") == caller


def test_a_failing_host_leaves_the_caller_unknown():
    """It is not nobody."""
    machine = machine_with(metadata("anonymous"))
    machine.failing.add("proxy_get_property")
    assert machine.call("read_caller") == -1


CLAIMS: dict[str, Any] = {
    "text": "b c",
    "list": ["x", "b"],
    "empty": [],
    "null": None,
    "number": 3,
    "mixed": ["x", 3],
    "deep": {"list": ["a"]},
}


@pytest.mark.parametrize(
    ("path", "texts", "in_words", "expected"),
    [
        ("list", ["a", "b"], 0, "true"),
        ("list", ["a", "c"], 0, "false"),
        ("list", ["b c"], 0, "false"),
        ("list", ["b"], 1, "true"),
        ("text", ["b c"], 0, "true"),
        ("text", ["b"], 0, "false"),
        ("text", ["c"], 1, "true"),
        ("text", ["b"], 1, "true"),
        ("text", ["b c", "d", ""], 1, "false"),
        ("empty", ["a"], 0, "false"),
        ("null", ["a"], 0, "false"),
        ("nothing", ["a"], 0, "false"),
        ("deep.list", ["a"], 0, "true"),
        ("number", ["3"], 0, "left"),
        ("mixed", ["b"], 0, "left"),
    ],
)
def test_a_token_asserts_what_it_lists(path, texts, in_words, expected):
    """A lone text is one element, or, of scopes, words; what the filter in front would have refused is left."""
    machine = machine_with(metadata("provider_corp", **CLAIMS))
    machine.call("read_caller")
    outcome = machine.call("asserts", machine.texts(path.split(".")), machine.texts(texts), in_words)
    assert machine.value(outcome) == expected


def test_words_are_between_spaces_alone():
    """RFC 8693 section 4.2: no other white space separates."""
    machine = machine_with({})
    for text, word, expected in (
        (" a  b ", "a", 1),
        (" a  b ", "b", 1),
        ("a\tb", "a", 0),
        ("ab", "a", 0),
        ("", "a", 0),
    ):
        assert machine.call("has_word", machine.text(text), machine.texts([word])) == expected


@pytest.mark.parametrize(("subject", "expected"), [("alice", "true"), ("Alice", "false"), (3, "left")])
def test_the_subject_is_compared_exactly(subject, expected):
    """One that is no text was not let through by the filter in front."""
    machine = machine_with(metadata("provider_corp", sub=subject))
    machine.call("read_caller")
    assert (
        machine.value(machine.call("is_subject", machine.texts(["sub"]), machine.texts(["bob", "alice"]))) == expected
    )


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("spiffe://cluster.local/ns/a/sa/b", "true"),
        ("spiffe://cluster.local/ns/batch/sa/x", "true"),
        ("spiffe://cluster.local/ns/batch/", "false"),
        ("spiffe://cluster.local/ns/other", "false"),
        ("spiffe://other/ns/a/sa/b", "false"),
        ("spiffe://cluster.local/", "false"),
        ("https://cluster.local/ns/a/sa/b", "false"),
        ("", "false"),
        (None, "false"),
    ],
)
def test_a_workload_is_the_peers_spiffe_id(identity, expected):
    """Of a trust domain that counts, exactly or below a prefix."""
    properties = {} if identity is None else {"connection.uri_san_peer_certificate": identity.encode()}
    machine = machine_with(properties)
    domains = machine.texts(["spiffe://cluster.local/"])
    exact = machine.texts(["spiffe://cluster.local/ns/a/sa/b", "spiffe://other/ns/a/sa/b"])
    outcome = machine.call("is_workload", domains, exact, machine.texts(["spiffe://cluster.local/ns/batch/"]))
    assert machine.value(outcome) == expected


def test_a_workload_that_the_host_does_not_tell_is_left():
    """It is not nobody's."""
    machine = machine_with({})
    machine.failing.add("proxy_get_property")
    nothing = machine.texts([])
    assert machine.value(machine.call("is_workload", nothing, nothing, nothing)) == "left"
    assert machine.word(Cell.CLAIMS) == 0
