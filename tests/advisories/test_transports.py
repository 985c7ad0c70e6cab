"""Callers that do not keep to the rules, or come in crowds: the others are answered, and memory does not grow."""

import contextlib
import resource
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from extauthz.server.check_method import CHECK_PATH
from tests.harness.asgi_call import check_message
from tests.harness.frames import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    call_headers,
    closes,
    connect,
    frame,
    large_field,
)
from tests.harness.process import serving
from tests.harness.required import skip_unless_required

POLICY = "version: 1\nname: crowd\nroutes:\n  - {name: open, path: /open, public: true}\n"
CALLS = 10_000
LOAD_SECONDS = 2
GROWTH_MB = 80.0
"""Far below what holding on to what these callers send would take."""


@pytest.fixture(scope="module", params=["h2corn", "grpcio"])
def served(request, tmp_path_factory):
    """A service of its own, for all tests on one transport."""
    policy = tmp_path_factory.mktemp("crowd") / "policy.yaml"
    policy.write_text(POLICY)
    with many_descriptors(), serving(policy, "--transport", request.param) as process:
        yield process
        assert process.end() == 0
        assert not [line for line in process.errors if "Traceback" in line]


@contextlib.contextmanager
def unharmed(served, *, within_seconds=2.0):
    """During the block and after it, a well-behaved caller is answered in time; memory is as before."""
    with grpc.insecure_channel(str(served.address), options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(CHECK_PATH)

        def ask(count):
            for _ in range(count):
                reply = CheckResponse.FromString(call(check_message(), timeout=within_seconds))
                assert reply.WhichOneof("http_response") == "ok_response"

        ask(200)
        before = served.resident_mb
        with ThreadPoolExecutor(1) as pool:
            meanwhile = pool.submit(ask, 200)
            yield
            meanwhile.result()
        ask(100)
        assert served.resident_mb - before < GROWTH_MB


def test_silent_and_slow_clients_hold_up_nobody(served):
    """Nothing sent, half a preface, half a header block: they are closed after a while."""
    half_block = PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, 0, 1, call_headers(CHECK_PATH))
    with unharmed(served), contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(connect(served.address, opening))
            for opening in (b"", PREFACE[:10], half_block)
            for _ in range(100)
        ]
        assert closes(slow[0], 20)
        assert closes(slow[100], 20)


@pytest.fixture
def message(tmp_path):
    """A framed Check, for h2load; skips without h2load, or fails where the environment promises it."""
    if shutil.which("h2load") is None:
        skip_unless_required("h2load", "h2load was not found: install nghttp2-client")
    path = tmp_path / "check.grpc"
    path.write_bytes(b"\0" + len(check_message()).to_bytes(4, "big") + check_message())
    return path


def test_under_overload_every_call_is_decided_at_once_and_then_all_is_as_before(served, message):
    """With eight times the calls that keep it busy each costs it less than twice as much, and it recovers."""
    cost(served, message, connections=2)
    usual = cost(served, message, connections=2)
    before = served.decisions
    crowded = cost(served, message, connections=16)
    assert served.decisions - before == CALLS
    assert crowded < 2 * usual
    assert_recovered(served)


def test_at_twice_its_capacity_it_answers_what_it_can_and_then_all_is_as_before(served, message):
    """An answer in time costs less than twice as much: if all that comes waited, hardly any would be in time.

    In CPU time: how many there are depends on what else the machine does.
    """
    peak, usual = answers(served, message, "-c2", "-m32")
    _, crowded = answers(served, message, "-c32", "-m64", f"--rps={2 * peak / 32:.0f}")
    assert crowded < 2 * usual
    assert_recovered(served)


def assert_recovered(served):
    """Within a second."""
    with grpc.insecure_channel(str(served.address)) as channel:
        reply = channel.unary_unary(CHECK_PATH)(check_message(), timeout=1)
    assert CheckResponse.FromString(reply).WhichOneof("http_response") == "ok_response"


def cost(served, message, *, connections):
    """What the calls cost the service, in seconds of CPU; 32 in flight on each connection, and every one answered."""
    before = served.cpu_seconds
    said = run_h2load(served, message, f"-c{connections}", "-m32", f"-n{CALLS}", timeout="5S")
    assert f"status codes: {CALLS} 2xx" in said, said
    return served.cpu_seconds - before


def answers(served, message, *load):
    """Decisions a second, and what one costs in seconds of CPU, while calls come that have as long as proxies wait."""
    decisions, cpu_seconds = served.decisions, served.cpu_seconds
    run_h2load(served, message, *load, f"--duration={LOAD_SECONDS}", timeout="200m")
    made = served.decisions - decisions
    return made / LOAD_SECONDS, (served.cpu_seconds - cpu_seconds) / made


def run_h2load(served, message, *load, timeout):
    """What it says."""
    command = ["h2load", "-t1", *load, "-d", str(message), "-H", f"grpc-timeout: {timeout}"]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    ran = subprocess.run(
        [*command, f"http://{served.address}{CHECK_PATH}"], capture_output=True, text=True, timeout=60, check=True
    )
    return ran.stdout


def test_a_thousand_connections_are_served(served):
    """Each with a call of its own."""
    with unharmed(served, within_seconds=10.0), contextlib.ExitStack() as stack:
        data = b"\0" + len(check_message()).to_bytes(4, "big") + check_message()
        call = frame(HEADERS, END_HEADERS, 1, call_headers(CHECK_PATH)) + frame(0, 1, 1, data)
        opening = PREFACE + frame(SETTINGS, 0, 0, b"")
        crowd = [stack.enter_context(connect(served.address, opening + call)) for _ in range(1000)]
        for connection in crowd:
            await_answer(connection)


def test_callers_that_do_not_read_their_answers_hold_up_nobody(served):
    """No room for a single byte of an answer, for 400 calls on 20 connections."""
    opening = PREFACE + frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE + bytes(4))
    body = b"\0" + len(check_message()).to_bytes(4, "big") + check_message()
    with unharmed(served, within_seconds=5.0), contextlib.ExitStack() as stack:
        for _ in range(20):
            reader = stack.enter_context(connect(served.address, opening))
            reader.sendall(
                b"".join(
                    frame(HEADERS, END_HEADERS, each, call_headers(CHECK_PATH)) + frame(DATA, END_STREAM, each, body)
                    for each in range(1, 40, 2)
                )
            )


def test_callers_that_do_not_end_their_messages_hold_up_nobody(served):
    """A prefix and no message, for 400 calls on 20 connections."""
    with unharmed(served, within_seconds=5.0), contextlib.ExitStack() as stack:
        for _ in range(20):
            sender = stack.enter_context(connect(served.address))
            sender.sendall(
                b"".join(
                    frame(HEADERS, END_HEADERS, each, call_headers(CHECK_PATH)) + frame(DATA, 0, each, b"\0\0\0\1\0")
                    for each in range(1, 40, 2)
                )
            )


def test_calls_that_are_reset_at_once_cost_their_own_connection_at_most(served):
    """CVE-2023-44487."""
    headers = call_headers(CHECK_PATH)
    with unharmed(served), connect(served.address) as attacker, contextlib.suppress(OSError):
        for first in range(1, 20_001, 1000):
            streams = range(first, first + 1000, 2)
            attacker.sendall(
                b"".join(
                    frame(HEADERS, END_HEADERS, each, headers) + frame(RST_STREAM, 0, each, CANCEL) for each in streams
                )
            )


def test_endless_headers_are_cut_off(served):
    """A header block that goes on in CONTINUATION frames (CVE-2024-27316), of fields or of one field."""
    with unharmed(served):
        for start, piece in ((b"", b"\0\x01x\x01y" * 3000), (large_field(64 << 20), b"x" * 16_000)):
            with connect(served.address) as attacker, contextlib.suppress(OSError):
                attacker.sendall(frame(HEADERS, 0, 1, call_headers(CHECK_PATH) + start))
                for _ in range(2000):
                    attacker.sendall(frame(CONTINUATION, 0, 1, piece))


def test_a_flood_of_pings_is_survived(served):
    """Of settings too: each has to be acknowledged."""
    with unharmed(served):
        for flood in (frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 0, 0, b"")):
            with connect(served.address) as attacker, contextlib.suppress(OSError):
                attacker.settimeout(5)
                for _ in range(20):
                    attacker.sendall(flood * 1000)


def await_answer(connection):
    """Read until a decision has come."""
    connection.settimeout(20)
    received = b""
    while b"decision_id" not in received:
        chunk = connection.recv(65536)
        assert chunk, "closed without an answer"
        received += chunk


@contextlib.contextmanager
def many_descriptors():
    """As many open files as this process, and those that it starts, may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
