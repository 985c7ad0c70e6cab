"""Other authorizers, in the same run: any ext_authz server that runs already and decides as ours does.

`python -m bench peer-files DIR` writes what that takes: the key that tokens are signed with, and, as an example, policy
and configuration for opa-envoy-plugin that do the same work in Rego: verify the token, three roles and prefixes, a
header for the upstream.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.policy import AUDIENCE, ISSUER, PERMISSIONS
from extauthz.demo.issuer import SigningKey, generate_key, private_key_set, public_key_set, read_keys
from extauthz.errors import ConfigurationError

_PEER = re.compile(r"(?P<name>[a-z][a-z0-9-]*)=(?P<address>[^\s=]+:[0-9]{1,5})")

_REGO: Final = """\
package envoy.authz

default allow := false

token := substring(input.attributes.request.http.headers.authorization, 7, -1)

verified := io.jwt.decode_verify(token, {
	"cert": data.jwks,
	"iss": "%(issuer)s",
	"aud": "%(audience)s",
	"alg": "RS256",
})

claims := verified[2] if verified[0]

allow := {"allowed": true, "headers": {"x-user": claims.sub}} if {
	some role in claims.roles
	some permission in data.permissions[role]
	permission.method == input.attributes.request.http.method
	startswith(input.attributes.request.http.path, permission.prefix)
}
"""
_CONFIGURATION: Final = """\
plugins:
  envoy_ext_authz_grpc:
    addr: 127.0.0.1:9191
    path: envoy/authz/allow
"""
_README: Final = """\
opa run --server with the Envoy plugin, and then this benchmark:

    opa-envoy-plugin run --server --addr 127.0.0.1:8181 --config-file opa.yaml policy.rego data.json
    python -m bench --only opa --key %(key)s --peer opa=127.0.0.1:9191

Any other authorizer: it must allow what data.json says to callers whose tokens jwks.json verifies, and set x-user to
the subject.
"""


def parse_peers(texts: Sequence[str]) -> dict[str, str]:
    """Addresses by name.

    Raises:
        ConfigurationError: a text is no NAME=HOST:PORT, or a name is given twice.
    """
    peers: dict[str, str] = {}
    for text in texts:
        found = _PEER.fullmatch(text)
        if found is None:
            raise ConfigurationError(f"--peer {text}: write NAME=HOST:PORT, the name in lower case")
        if found["name"] in peers:
            raise ConfigurationError(f"--peer {text}: the name is given twice")
        peers[found["name"]] = found["address"]
    return peers


def read_key(file: Path) -> SigningKey:
    """The key that `peer-files` wrote.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return read_keys(file.read_text(), str(file))[0]
    except OSError as error:
        raise ConfigurationError(
            f"--key {file}: {error.strerror}: `python -m bench peer-files DIR` writes one"
        ) from None


def peer_files(arguments: Sequence[str]) -> str:
    """Write them into a new folder."""
    parser = argparse.ArgumentParser(prog="python -m bench peer-files", description="What a peer needs.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="a new folder")
    directory: Path = parser.parse_args(arguments).directory
    try:
        directory.mkdir()
    except FileExistsError:
        raise ConfigurationError(f"{directory} is there already: name a new folder") from None
    key = generate_key("RS256")
    private = directory / "key.json"
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(private_key_set([key]), stream)
    jwks = public_key_set([key])
    (directory / "jwks.json").write_text(json.dumps(jwks))
    (directory / "data.json").write_text(json.dumps({"jwks": json.dumps(jwks), "permissions": PERMISSIONS}))
    (directory / "policy.rego").write_text(_REGO % {"issuer": ISSUER, "audience": AUDIENCE})
    (directory / "opa.yaml").write_text(_CONFIGURATION)
    return _README % {"key": private}
