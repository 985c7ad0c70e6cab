"""Who may ask the control plane, and as whom: a secret for each node, of which only the SHA-256 is known here.

One YAML map, from hashes to identities:

    nodes:
      - {token_sha256: 9f86d0..., identity: spiffe://cluster.local/ns/shop/sa/orders}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from extauthz.errors import ConfigurationError
from extauthz.mesh.identity import check_identity
from extauthz.mesh.yaml_text import load_documents

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{32,4096}=*")  # RFC 6750 section 2.1, and long enough not to be guessed


def check_token(text: str) -> str:
    """A node's secret. Raises ValueError."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("it holds no token: write 32 or more letters and digits, as from `openssl rand -hex 32`")
    return text


class Node(BaseModel):
    """One node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    identity: Annotated[str, AfterValidator(check_identity)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: tuple[Node, ...]


class Nodes:
    """All that are known."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        # Looked up by hash: how long that takes says nothing about the token.
        self._identities: Mapping[str, str] = {each.token_sha256: each.identity for each in nodes}

    def identity_of(self, authorization: str | None) -> str | None:
        """Whose secret a header `authorization` holds; None if it is nobody's."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self._identities.get(hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest())


def load_nodes(file: Path) -> Nodes:
    """Read and check a file.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong: one line.
    """
    try:
        documents = load_documents(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    try:
        nodes = _Document.model_validate(documents[0] if len(documents) == 1 else None).nodes
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{file}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
    hashes = [each.token_sha256 for each in nodes]
    repeated = next((each for each in hashes if hashes.count(each) > 1), None)
    if repeated is not None:
        raise ConfigurationError(f"{file}: {repeated} stands for more than one node")
    return Nodes(nodes)
