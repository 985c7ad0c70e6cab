import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.http2 import END_HEADERS, END_STREAM, PREFACE, FrameReader, FrameType, frame, grpc_headers
from bench.open_loop import Request, latencies, peak_rate
from bench.process import Placement
from bench.servers import empty_server
from bench.workloads import WrongReplyError

ROOT = Path(__file__).parents[2]
EMPTY_REPLY = bytes(5)


def request(address, holds=EMPTY_REPLY):
    return Request(grpc_headers(address, "/a.B/C"), b"\0\0\0\0\x05hello", holds)


@pytest.mark.envoy
def test_a_short_run(h2load, envoy, tmp_path):
    """`python -m bench tail` prints a row for each subject and rate, and writes the same as JSON and as a picture."""
    command = [sys.executable, "-m", "bench", "tail", "--seconds", "0.3", "--part", "0.1"]
    command += ["--json", str(tmp_path / "tail.json"), "--svg", str(tmp_path / "tail.svg")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    subjects = json.loads((tmp_path / "tail.json").read_text())["subjects"]
    assert list(subjects) == ["authorizer alone", "through Envoy"]
    for name, levels in subjects.items():
        assert f"| {name} | 10% |" in ran.stdout
        took = levels[0]["latency_ms"]
        assert 0 < took["p50"] <= took["p90"] <= took["p99"] <= took["p99.9"]
    picture = ET.parse(tmp_path / "tail.svg").getroot()
    assert len(picture.findall("{*}polyline")) == 6


def test_requests_are_sent_when_they_are_due(tmp_path):
    """Not when the last was answered: so many at that rate take that long, and each is answered."""
    with empty_server(tmp_path, Placement(None, None)) as server:
        took = latencies(server.address, request(server.address), rate=1000, requests=300)
        assert len(took) == 300
        assert took == sorted(took)
        assert took[0] > 0
        assert peak_rate(server.address, request(server.address), 500) > 100


@contextmanager
def answering_at_the_end(requests):
    """A server that answers nothing until all requests are there, and then all of them."""

    def serve(listening):
        connection, _ = listening.accept()
        with connection:
            reader = FrameReader()
            asked: list[int] = []
            connection.recv(len(PREFACE), socket.MSG_WAITALL)
            while len(asked) < requests:
                received = reader.feed(connection.recv(65536))
                asked += [each.stream for each in received if each.type == FrameType.DATA]
            for stream in asked:
                connection.sendall(frame(FrameType.HEADERS, END_HEADERS, stream, b"\x88"))
                connection.sendall(frame(FrameType.DATA, END_STREAM, stream, EMPTY_REPLY))
            connection.recv(1)  # the client's end

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_a_stall_delays_those_that_were_due_meanwhile():
    """Nobody waits for answers, and latency counts from when a request was due: the first waits longest."""
    with answering_at_the_end(100) as address:
        took = latencies(address, request(address), rate=1000, requests=100)
    assert took[-1] - took[0] > 0.09


def test_a_wrong_answer_is_found(tmp_path):
    """Every one is looked at."""
    with empty_server(tmp_path, Placement(None, None)) as server, pytest.raises(WrongReplyError, match="does not hold"):
        latencies(server.address, request(server.address, b"alice"), rate=1000, requests=10)
