"""Real containers. A machine without a daemon skips these tests, unless `EXTAUTHZ_REQUIRE` names docker."""

import socket
import ssl
from contextlib import ExitStack

import docker
import pytest

from tests.e2e.daemon import NoDaemonError, check_daemon, docker_host
from tests.e2e.images import ROOT, CannotBuildError, build_images, check_packages, download_wheels
from tests.e2e.proxy import Proxy
from tests.e2e.stack import NoComposeError, compose_command, running_stack
from tests.harness.required import skip_unless_required

_LIMIT_SECONDS = 900


@pytest.hookimpl(tryfirst=True)  # before items are chosen by their marks
def pytest_collection_modifyitems(items):
    """All of them need a daemon, and the first pays for images and stacks."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "e2e"):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(_LIMIT_SECONDS))


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    """A client of a daemon that has the images, and the images."""
    directory = tmp_path_factory.mktemp("images")
    with ExitStack() as stack:
        try:
            compose_command()
            check_packages()
            check_daemon()
            download_wheels(directory / "wheels")  # before a private daemon takes us to a network without a registry
            host = stack.enter_context(docker_host())
        except (CannotBuildError, NoComposeError, NoDaemonError) as error:
            skip_unless_required("docker", str(error))
        client = docker.DockerClient(host, timeout=120)
        stack.callback(client.close)
        yield client, host, build_images(client, directory, directory / "wheels")


@pytest.fixture(scope="session")
def client(daemon):
    return daemon[0]


@pytest.fixture(scope="session")
def images(daemon):
    return daemon[2]


@pytest.fixture(scope="session")
def environment(daemon):
    """What compose is told: where the daemon is, and which images stand for the public ones."""
    _, host, images = daemon
    return {"DOCKER_HOST": host, "ENVOY_IMAGE": images.envoy, "AUTHORIZER_IMAGE": images.extauthz}


@pytest.fixture(scope="module")
def stack(client, environment, free_ports):
    """compose.yaml, as a user brings it up."""
    ports = dict(zip(("PROXY_PORT", "ISSUER_PORT"), map(str, free_ports), strict=True))
    with running_stack(client, ROOT / "compose.yaml", project="e2e", environment={**environment, **ports}) as running:
        yield running


@pytest.fixture(scope="module")
def authority(stack, tmp_path_factory):
    """The file of the authority that signed the stack's certificates."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    file.write_bytes(stack.read("extauthz", "/etc/certificates/ca.pem"))
    return file


@pytest.fixture(scope="module")
def proxy(stack, authority):
    """The stack's Envoy, as a client reaches it."""
    return Proxy(stack.port("envoy", 8443), ssl.create_default_context(cafile=authority))


@pytest.fixture(scope="module")
def free_ports(daemon):
    """Two ports that were free a moment ago, where the daemon publishes."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
