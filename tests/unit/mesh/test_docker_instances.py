from __future__ import annotations

import json
import socket
from threading import Thread

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.mesh.docker_instances import find_instances, read_containers, with_instances
from extauthz.mesh.services import parse_registry

LEGACY = parse_registry({"services": {"orders": {"tls": "none", "endpoints": ["10.0.0.1:80"]}}}, "test")


def container(labels, networks=None):
    """As GET /containers/json tells of one."""
    found = {"bridge": "172.17.0.2"} if networks is None else networks
    addresses = {name: {"IPAddress": address} for name, address in found.items()}
    return {"Id": "0123456789abcdef", "Labels": labels, "NetworkSettings": {"Networks": addresses}}


def labels(**more):
    """Of an instance of orders."""
    return {"extauthz.service": "orders", "extauthz.port": "8080", **more}


def test_instances_by_their_labels():
    """By service, each once, in an order that does not depend on Docker's."""
    found = read_containers(
        [
            container(labels(), {"bridge": "172.17.0.3"}),
            container(labels(**{"extauthz.network": "shop"}), {"bridge": "172.17.0.2", "shop": "10.9.0.2"}),
            container(labels(), {"bridge": "172.17.0.3"}),
        ]
    )
    assert found.endpoints == {"orders": [TcpAddress("10.9.0.2", 8080), TcpAddress("172.17.0.3", 8080)]}
    assert found.problems == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (container({"extauthz.service": "orders"}), "extauthz.port: '' is no port"),
        (container(labels(**{"extauthz.port": "0"})), "'0' is no port"),
        (container(labels(), {"a": "1.1.1.1", "b": "1.1.1.2"}), "it is in 2 networks"),
        (container(labels(), {}), "it is in 0 networks"),
        (container(labels(**{"extauthz.network": "x"})), "no address in the network x"),
        (container(labels(), {"host": ""}), "no address in the network host"),
    ],
)
def test_labels_that_cannot_be_meant(found, said):
    """The container is named, and left out."""
    instances = read_containers([found])
    (problem,) = instances.problems
    assert problem.startswith("container 0123456789ab: ")
    assert said in problem
    assert not instances.endpoints


def test_a_container_joins_a_service_that_is_known():
    """Beside the instances that the registry names; whom to believe is not the container's to say."""
    merged, problems = with_instances(LEGACY, read_containers([container(labels())]))
    assert merged.services["orders"].endpoints == (TcpAddress("10.0.0.1", 80), TcpAddress("172.17.0.2", 8080))
    assert not problems
    stranger = read_containers([container(labels(**{"extauthz.service": "other"}))])
    merged, problems = with_instances(LEGACY, stranger)
    assert merged == LEGACY
    assert problems == ["extauthz.service=other: the registry knows no such service"]


def docker(path, body, status=200):
    """A Docker that answers once; what it was asked."""
    asked = []
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()

    def answer():
        connection, _ = listening.accept()
        with connection, listening:
            asked.append(connection.recv(2000).decode())
            connection.sendall(f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())

    thread = Thread(target=answer)
    thread.start()
    return thread, asked


def test_docker_is_asked_for_labelled_containers(tmp_path):
    """Over its socket, once for all of them."""
    path = tmp_path / "docker.sock"
    thread, asked = docker(path, json.dumps([container(labels())]))
    assert find_instances(UnixAddress(str(path))).endpoints["orders"] == [TcpAddress("172.17.0.2", 8080)]
    thread.join()
    assert asked[0].startswith("GET /containers/json?filters=%7B%22label%22%3A%20%5B%22extauthz.service%22")


@pytest.mark.parametrize(("status", "body"), [(500, "[]"), (200, "{"), (200, '{"message": 1}'), (200, "[1]")])
def test_another_answer_is_none(tmp_path, status, body):
    """No instance is taken for gone because Docker is unwell."""
    path = tmp_path / "docker.sock"
    thread, _ = docker(path, body, status)
    with pytest.raises(EnvironmentUnfitError, match="Docker"):
        find_instances(UnixAddress(str(path)))
    thread.join()
