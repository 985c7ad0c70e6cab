"""What is told to the client, and to the access log."""

from __future__ import annotations

import pytest

from extauthz.lowering.wasm.runtime.layout import Cell
from tests.harness.machine import Machine, StoppedError

ENCODED = b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0%c\0"


def answer(machine: Machine, *, body: bool = True) -> int:
    """A denial, told by 403."""
    text = machine.text
    before = text("<") if body else 0
    plain, typed = text(ENCODED.replace(b"%c", b"p")), text(ENCODED.replace(b"%c", b"t"))
    return machine.numbers(
        0, 403, text("deny because"), text("details"), before, text(">"), text("Title"), plain, typed
    )


def machine_with(*headers: tuple[str, str]) -> Machine:
    machine = Machine(headers=headers)
    machine.call("read_headers")
    return machine


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("", ""),
        ("aZ0-9.f", "aZ0-9.f"),
        ('x"y', ""),
        ("x y", ""),
        ("é", ""),
        ("x" * 128, "x" * 128),
        ("x" * 129, ""),
        ("<", ""),
    ],
)
def test_the_requests_id_is_in_the_body_when_it_is_plain(sent, told):
    """A client may have written it."""
    machine = machine_with(("x-request-id", sent))
    machine.call("deny", answer(machine))
    assert machine.response == (403, "details", f"<{told}>", {"k": "t"})


def test_a_body_may_be_empty():
    """Then it has no type that says otherwise."""
    machine = machine_with()
    machine.call("deny", answer(machine, body=False))
    assert machine.response == (403, "details", "", {"k": "t"})


@pytest.mark.parametrize(
    ("media_type", "grpc"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc-web", False),
        ("application/grp", False),
        ("application/json", False),
        ("Application/grpc", False),
    ],
)
def test_those_who_speak_grpc_get_the_title_alone(media_type, grpc):
    """It becomes grpc-message."""
    machine = machine_with(("content-type", media_type))
    machine.call("deny", answer(machine))
    assert machine.response is not None
    assert machine.response[2:] == (("Title", {"k": "p"}) if grpc else ("<>", {"k": "t"}))


def test_an_answer_that_the_host_does_not_take_stops_the_module():
    """The request must not go on."""
    machine = machine_with()
    machine.failing.add("proxy_send_local_response")
    with pytest.raises(StoppedError):
        machine.call("deny", answer(machine))


def test_the_log_is_told_route_and_rule():
    """A dash for what there is not."""
    machine = machine_with()
    assert machine.call("write_log", answer(machine)) == 1
    assert machine.written == {"extauthz": "deny because - -"}
    machine.store(Cell.ROUTE, machine.text("orders"))
    machine.store(Cell.POLICY, machine.text("orders.allow.0"))
    machine.call("write_log", answer(machine))
    assert machine.written == {"extauthz": "deny because orders orders.allow.0"}
    machine.failing.add("proxy_set_property")
    assert machine.call("write_log", answer(machine)) == 0


@pytest.mark.parametrize("body", [True, False])
def test_headers_are_added_where_a_script_may_read_the_denial(body):
    """Behind the answer's own."""
    machine = machine_with()
    more = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0a\0bc\0def\0\0"
    machine.store(Cell.READABLE, machine.text(more))
    machine.call("deny", answer(machine, body=body))
    assert machine.response is not None
    assert machine.response[3] == {"k": "t", "a": "bc", "def": ""}
