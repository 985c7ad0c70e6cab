"""The images of the stacks, built without a registry and without a network.

The base is made of the files of Debian packages that are installed on this machine; Python packages come from wheels
that pip has downloaded and checked against the lock. Dockerfile and compose.yaml are the project's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_DOCKERFILES = Path(__file__).parent / "images"
_REPOSITORY = "extauthz-e2e"
_DEBIAN_PYTHON = "/usr/bin/python3"

# bash and grep: the stack asks Envoy for its health with what is in Envoy's own image. iptables: for `mesh init`.
# libatomic1: for the compiler of Rego.
_PACKAGES = """
    base-files bash coreutils dash grep iptables libacl1 libattr1 libbz2-1.0 libc-bin libc6 libcom-err2 libcrypt1
    libdb5.3 libexpat1 libffi8 libgcc-s1 libgmp10 libgssapi-krb5-2 libip4tc2 libip6tc2 libk5crypto3 libkeyutils1
    libkrb5-3 libkrb5support0 liblzma5 libmnl0 libncursesw6 libnetfilter-conntrack3 libnfnetlink0 libnftnl11 libnsl2
    libpcre2-8-0 libpython3.11-minimal libpython3.11-stdlib libreadline8 libselinux1 libsqlite3-0 libssl3 libstdc++6
    libtinfo6 libtirpc3 libuuid1 libxtables12 media-types netbase python3 python3-minimal python3.11
    python3.11-minimal tzdata zlib1g libatomic1
""".split()  # noqa: SIM905 - one name a line would be a page
_LEFT_OUT = ("/usr/share/doc", "/usr/share/info", "/usr/share/lintian", "/usr/share/locale", "/usr/share/man")
_NOT_OF_A_PACKAGE = (
    *("/bin", "/lib", "/lib64", "/sbin"),  # links into /usr
    *("/dev", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var", "/var/tmp"),
    *("/etc/group", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt"),
)


class CannotBuildError(Exception):
    """The machine lacks what the base is made of; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Images:
    """Names of what was built."""

    extauthz: str
    envoy: str
    base: str
    """Python and a shell."""
    opa: str | None
    """OPA, where this machine has its binary."""


def download_wheels(directory: Path) -> None:
    """Fetch the locked wheels, and pip itself, for Debian's Python: the one in the images."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        _DEBIAN_PYTHON,
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ]
    options = ["--no-deps", "--only-binary", ":all:", "--dest", str(directory)]
    subprocess.run([*pip, *options, "--require-hashes", "-r", str(ROOT / "requirements.lock")], check=True)
    subprocess.run([*pip, *options, "pip"], check=True)


def build_images(client: Any, directory: Path, wheels: Path) -> Images:
    """Build everything into the daemon, from wheels that `download_wheels` has fetched.

    Raises:
        CannotBuildError: packages are missing, or it is no Debian.
    """
    base = _import_base(client, directory)
    for file in _DOCKERFILES.glob("*.Dockerfile"):
        shutil.copy(file, wheels)
    builder = _build(client, wheels, "build", "build.Dockerfile", {"BASE": base})
    envoy = _build(client, wheels, "envoy", "envoy.Dockerfile", {"BASE": base})
    arguments = {"PYTHON_IMAGE": base, "BUILD_IMAGE": builder}
    return Images(
        _build(client, ROOT, "extauthz", "Dockerfile", arguments), envoy, base, _build_opa(client, wheels, base)
    )


def _build_opa(client: Any, context: Path, base: str) -> str | None:
    binary = shutil.which("opa")
    if binary is None:
        return None
    shutil.copy(binary, context / "opa")
    return _build(client, context, "opa", "opa.Dockerfile", {"BASE": base})


def build_mesh_image(client: Any, images: Images) -> str:
    """The image of a mesh's pods: the program with Envoy in it. After `build_images`, whose layers it shares."""
    arguments = {"PYTHON_IMAGE": images.base, "BUILD_IMAGE": f"{_REPOSITORY}/build:latest", "EXTRAS": "envoy"}
    return _build(client, ROOT, "mesh", "Dockerfile", arguments)


def _build(client: Any, context: Path, name: str, dockerfile: str, arguments: dict[str, str]) -> str:
    tag = f"{_REPOSITORY}/{name}:latest"
    client.images.build(
        path=str(context),
        dockerfile=dockerfile,
        tag=tag,
        buildargs=arguments,
        network_mode="none",
        pull=False,
        rm=True,
        forcerm=True,
        labels={_REPOSITORY: ""},
    )
    return tag


def _import_base(client: Any, directory: Path) -> str:
    archive = directory / "base.tar"
    _write_base(archive)
    client.api.import_image_from_file(str(archive), repository=f"{_REPOSITORY}/base", tag="latest")
    return f"{_REPOSITORY}/base:latest"


def _write_base(archive: Path) -> None:
    """A root filesystem out of this machine's own."""
    with tarfile.open(archive, "w") as tar:
        for path in sorted(_with_parents(_package_files())):
            tar.add(path, arcname=path.lstrip("/"), recursive=False)


def check_packages() -> None:
    """Whether the base image can be made here.

    Raises:
        CannotBuildError: it cannot.
    """
    _package_files()


def _package_files() -> set[str]:
    if shutil.which("dpkg") is None or not Path(_DEBIAN_PYTHON).exists():
        raise CannotBuildError("the base image is made of installed Debian packages: run on Debian 12 with python3")
    listed = subprocess.run(["dpkg", "-L", *_PACKAGES], check=False, capture_output=True, text=True)
    if listed.returncode != 0:
        raise CannotBuildError(f"install what the base image is made of: {' '.join(listed.stderr.split())}")
    files = {line for line in listed.stdout.splitlines() if line.startswith("/") and line != "/."}
    return {file for file in files if not file.startswith(_LEFT_OUT)} | set(_NOT_OF_A_PACKAGE)


def _with_parents(files: set[str]) -> set[str]:
    """The files by their real folders (/lib/x is /usr/lib/x), those that exist, and every folder above them."""
    real = {Path(file).parent.resolve() / Path(file).name for file in files}
    found = {path for path in real if os.path.lexists(path)}
    return {str(path) for path in found.union(*(path.parents for path in found)) if path != Path("/")}
