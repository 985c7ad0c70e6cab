"""A compose file that is up: what its containers say, and what is asked of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.images import ROOT

_COMPOSE_SECONDS = 120
_T = TypeVar("_T")


class NoComposeError(Exception):
    """There is no compose; the message says what it takes."""


class CannotStartError(Exception):
    """The machine lacks something that the stack needs; one line that says what to do."""


_LACKS = (
    (
        "(annot|ouldn't) connect to (the )?Docker daemon|error during connect|fetching server API version",
        "no Docker daemon answers there: start one, or name it by DOCKER_HOST",
    ),
    (
        "port is already allocated|address already in use",
        "a port is taken: stop what listens there, or name others by PROXY_PORT and ISSUER_PORT",
    ),
    (
        "pull access denied|manifest unknown|[Nn]o such image|failed to (resolve|pull)|dial tcp: lookup",
        "an image is missing, and no registry has it or can be reached: build it, or name another one",
    ),
)
"""What both versions of compose say, and what to do."""


def what_is_lacking(output: str) -> str | None:
    """One line about a failure that is the machine's, with compose's own words; None when it is another."""
    for pattern, advice in _LACKS:
        for line in output.splitlines():
            if re.search(pattern, line):
                return f"{advice} ({' '.join(line.split())})"
    return None


def compose_command() -> list[str]:
    """Compose v2 when the CLI has it, else 1.29."""
    plugin = ["docker", "compose"]
    if (
        shutil.which("docker")
        and subprocess.run([*plugin, "version"], check=False, capture_output=True).returncode == 0
    ):
        return plugin
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise NoComposeError("neither `docker compose` nor `docker-compose` is installed (Debian: docker-compose)")


class Stack:
    """One project: its containers by service, and commands of compose."""

    def __init__(self, client: Any, files: tuple[Path, ...], project: str, environment: Mapping[str, str]) -> None:
        self._client = client
        self._command = [*compose_command(), *(f"--file={file}" for file in files), f"--project-name={project}"]
        self._project = project
        self._environment = {**os.environ, **environment}

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run compose, its output captured, and shown when it fails."""
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                check=False,
                capture_output=True,
                cwd=ROOT,
                env=self._environment,
                text=True,
                timeout=_COMPOSE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"compose {' '.join(arguments)}: not within {_COMPOSE_SECONDS} s\n{self.logs()}"
            ) from None
        if check and done.returncode != 0:
            lacking = what_is_lacking(done.stdout + done.stderr)
            if lacking is not None:
                raise CannotStartError(f"compose {' '.join(arguments)}: {lacking}")
            raise AssertionError(
                f"compose {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.logs()}"
            )
        return done

    def containers(self, service: str | None = None) -> list[Any]:
        """Of a service, or all of them, those that have ended included."""
        labels = [f"com.docker.compose.project={self._project}"]
        if service is not None:
            labels.append(f"com.docker.compose.service={service}")
        return list(self._client.containers.list(all=True, filters={"label": labels}))

    def container(self, service: str) -> Any:
        """The only one of a service."""
        (found,) = self.containers(service)
        return found

    def port(self, service: str, inside: int) -> int:
        """Where a port of a service is published."""
        (published,) = self.container(service).attrs["NetworkSettings"]["Ports"][f"{inside}/tcp"]
        return int(published["HostPort"])

    def read(self, service: str, path: str) -> bytes:
        """A file inside the first container of a service."""
        status, content = self.containers(service)[0].exec_run(["cat", path])
        assert status == 0, content
        return bytes(content)

    def log(self, service: str) -> str:
        """What the containers of a service have written."""
        return "".join(each.logs().decode(errors="replace") for each in self.containers(service))

    def json_lines(self, service: str) -> list[dict[str, Any]]:
        """The JSON lines among it, as of access and decision logs."""
        return [
            json.loads(line) for line in self.log(service).splitlines() if line.startswith("{") and line.endswith("}")
        ]

    def logs(self) -> str:
        """The last lines of every container, for messages."""
        return "\n".join(
            f"--- {each.name}:\n{each.logs(tail=15).decode(errors='replace')}" for each in self.containers()
        )

    def wait(self, what: str, condition: Callable[[], _T], seconds: float = 60) -> _T:
        """The condition's first true value.

        Raises:
            AssertionError: it took longer; the message has the containers' logs.
        """
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self.logs()}"
            time.sleep(0.1)
        return value

    def is_healthy(self, service: str | None = None) -> bool:
        """Whether every container with a health check passes it, and those that have ended did so well."""
        return all(_is_healthy(each) for each in self.containers(service))


def _is_healthy(container: Any) -> bool:
    container.reload()
    state = container.attrs["State"]
    if state["Status"] == "exited" and state["ExitCode"] == 0:  # one that prepares something
        return True
    health = state.get("Health", {"Status": "healthy"})
    return bool(state["Status"] == "running" and health["Status"] == "healthy")


@contextmanager
def running_stack(
    client: Any, *files: Path, project: str, environment: Mapping[str, str], services: tuple[str, ...] = ()
) -> Iterator[Stack]:
    """Bring the files' services up, and down with the block, their volumes and networks included."""
    stack = Stack(client, files, project, environment)
    try:
        stack.compose("up", "--detach", "--no-build", *services)
        stack.wait("healthy", stack.is_healthy)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "2", "--remove-orphans", check=False)
