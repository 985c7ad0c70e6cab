import json
import os
import stat
import time
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from bench.__main__ import main
from bench.load import apply_load, check_replies
from bench.peers import parse_peers, read_key
from bench.process import listening_process
from bench.servers import RunningServer, peer
from bench.workloads import WrongReplyError, build_workloads
from extauthz.errors import ConfigurationError
from extauthz.server.check_method import CHECK_PATH


@contextmanager
def some_authorizer(user):
    """A server of somebody else's, which lets everybody in as this user; None: nobody."""

    def check(request: CheckRequest, _context):
        assert request.attributes.request.http.headers["authorization"].startswith("Bearer ")
        response = CheckResponse()
        if user is None:
            response.status.code = 7
        else:
            response.ok_response.headers.add().header.CopyFrom(_header(user))
        return response

    def _header(value):
        option = CheckResponse().ok_response.headers.add()
        option.header.key, option.header.value = "x-user", value
        return option.header

    handler = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=CheckRequest.FromString, response_serializer=CheckResponse.SerializeToString
    )
    service, _, method = CHECK_PATH.strip("/").partition("/")
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def files(tmp_path, capsys):
    assert main(["peer-files", str(tmp_path / "peer")]) == 0
    capsys.readouterr()
    return tmp_path / "peer"


def asked(address, files):
    """The workload that a peer is asked."""
    key = read_key(files / "key.json")
    workloads = build_workloads(key, time.time(), peers={"other": address})  # noqa: TID251 - tests have no app.py
    return next(each for each in workloads if each.name == "other")


def test_a_peer_is_measured_and_every_reply_looked_at(files):
    """Its process is found by where it listens."""
    with some_authorizer("alice") as address, peer(address) as server:
        workload = asked(address, files)
        assert server.pid == os.getpid()
        check_replies(server, workload)
        measured = apply_load(server, workload, 100)
        assert measured.per_second > 0
        assert measured.cpu_us > 0
        elsewhere = apply_load(RunningServer(None, address, None), workload, 100)
        assert elsewhere.cpu_us != elsewhere.cpu_us, "not known"


@pytest.mark.parametrize("user", ["bob", None])
def test_a_peer_that_answers_wrong_is_not_fast(files, user):
    """Neither in the look before the load nor under it."""
    with some_authorizer(user) as address, peer(address) as server:
        workload = asked(address, files)
        with pytest.raises(WrongReplyError):
            check_replies(server, workload)
        with pytest.raises(WrongReplyError):
            apply_load(server, workload, 100)


def test_nobody_listens():
    """No process."""
    assert listening_process("127.0.0.1:1") is None


def test_files_for_a_peer(files, capsys):
    """The private key is for nobody else, and nothing is overwritten."""
    assert stat.S_IMODE((files / "key.json").stat().st_mode) == 0o600
    assert "d" not in json.loads((files / "jwks.json").read_text())["keys"][0]
    assert main(["peer-files", str(files)]) == 3
    assert "new folder" in capsys.readouterr().err


@pytest.mark.parametrize("texts", [["opa"], ["opa="], ["OPA=h:1"], ["opa=h"], ["opa=h:1", "opa=h:2"]])
def test_wrong_peers(texts):
    """Before anything is measured."""
    with pytest.raises(ConfigurationError, match="--peer"):
        parse_peers(texts)
