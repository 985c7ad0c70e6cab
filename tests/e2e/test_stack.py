"""What the machine lacks is told in one line."""

import socket

import pytest

from tests.e2e.stack import CannotStartError, running_stack

SERVICE = """\
services:
  only:
    image: {image}
    command: [sleep, "60"]
    ports: ["127.0.0.1:{port}:80"]
"""


def start(client, environment, tmp_path, **fields):
    """Why it cannot be started."""
    file = tmp_path / "compose.yaml"
    file.write_text(SERVICE.format(**fields))
    with (
        pytest.raises(CannotStartError) as raised,
        running_stack(client, file, project="e2e-lacking", environment=environment),
    ):
        pytest.fail("started")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_missing_image(client, environment, tmp_path):
    """It is in no registry, or none can be reached."""
    assert "an image is missing" in start(client, environment, tmp_path, image="e2e-nowhere.invalid/x:1", port=0)


def test_a_port_that_is_taken(client, environment, images, tmp_path):
    """By whatever listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "a port is taken" in start(client, environment, tmp_path, image=images.base, port=port)


def test_no_daemon(client, environment, images, tmp_path):
    """The address is wrong, or it does not run."""
    nobody = {**environment, "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    assert "no Docker daemon answers" in start(client, nobody, tmp_path, image=images.base, port=0)
