"""A development issuer: makes keys, mints tokens, and serves JWKS and discovery over HTTP.

For demos, tests and trying a policy out: a token of this room says whatever its caller wants it to say. In a process
of its own the issuer mints them over HTTP, for anyone who reaches it.
Specifications: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7519 (JWT), RFC 7638 (a key's thumbprint, here its `kid`), OpenID
Connect Discovery 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.model.access import JsonValue

ALGORITHMS = ("ES256", "RS256")
"""What the development issuer, and the demo's keys, sign with."""

_CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}

LIFETIME_SECONDS = 3600.0
"""Of a token whose caller does not say."""

TOKEN_PATH = "/token"  # noqa: S105 - a path
"""POST claims as a JSON object, which win over the issuer's own; `?alg=RS256` chooses the key. Off unless asked for."""

_MAXIMUM_CLAIMS_BYTES = 64 * 1024
_MINIMUM_RSA_BITS = 2048  # RFC 7518 section 3.3
_PUBLIC_MEMBERS = ("alg", "crv", "e", "kid", "kty", "n", "use", "x", "y")
# RFC 7638 section 3.2 and RFC 8037 section 2: the members that a thumbprint is made of.
_ANY_PORT = TcpAddress("127.0.0.1", 0)
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}


class SigningKey:
    """A private key, its `kid` and the one algorithm it signs with."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Read a private JWK; `alg` and `kid` are derived where they are absent.

        Raises:
            ConfigurationError: It is none that can sign. The message never quotes it.
        """
        if jwk.get("kty") not in _THUMBPRINT_MEMBERS:
            raise ConfigurationError("is no RSA, EC or OKP key")
        if "d" not in jwk:
            raise ConfigurationError("is a public key, which cannot sign: give the private one")
        try:
            parsed = jwt.PyJWK(dict(jwk))
        except PyJWTError:  # its message quotes the key
            raise ConfigurationError("is malformed, or of a type or algorithm that is not supported") from None
        if isinstance(parsed.key, rsa.RSAPrivateKey) and parsed.key.key_size < _MINIMUM_RSA_BITS:
            raise ConfigurationError(f"is an RSA key of less than {_MINIMUM_RSA_BITS} bits")
        self._parsed = parsed
        self.algorithm = parsed.algorithm_name
        self.kid = str(jwk.get("kid") or _thumbprint(jwk))
        self.private_jwk = {**jwk, "alg": self.algorithm, "kid": self.kid, "use": "sig"}

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r})"

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The half that may be published."""
        return {name: self.private_jwk[name] for name in _PUBLIC_MEMBERS if name in self.private_jwk}

    def sign(self, claims: Mapping[str, JsonValue]) -> str:
        """A JWT in compact form with these claims and no others."""
        return jwt.encode(dict(claims), self._parsed.key, self.algorithm, headers={"kid": self.kid})


def generate_key(algorithm: str) -> SigningKey:
    """A new key for an asymmetric algorithm (RFC 7518 section 3.1, RFC 8037), its `kid` the thumbprint."""
    if algorithm == "EdDSA":
        jwk = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate(), as_dict=True)
    elif algorithm in _CURVES:
        jwk = ECAlgorithm.to_jwk(ec.generate_private_key(_CURVES[algorithm]()), as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(
            rsa.generate_private_key(public_exponent=65537, key_size=_MINIMUM_RSA_BITS), as_dict=True
        )
    return SigningKey({**jwk, "alg": algorithm})


def sign_with_secret(secret: bytes, algorithm: str, claims: Mapping[str, JsonValue]) -> str:
    """A JWT in compact form under a shared secret (RFC 7518 section 3.2)."""
    return jwt.encode(dict(claims), secret, algorithm)


def read_keys(text: str, source: str) -> tuple[SigningKey, ...]:
    """The private keys of a JWK or a JWK Set.

    Args:
        text: The JSON.
        source: Where it came from, for messages.

    Raises:
        ConfigurationError: It is neither, or has a key that cannot sign.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    jwks = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(jwks, list) or not jwks or not all(isinstance(jwk, dict) for jwk in jwks):
        raise ConfigurationError(f"{source} is no JWK Set: JSON with a list 'keys' of private keys is expected")
    keys = []
    for number, jwk in enumerate(jwks, start=1):
        try:
            keys.append(SigningKey(jwk))
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: key {number} {error}") from None
    return tuple(keys)


def private_key_set(keys: Sequence[SigningKey]) -> dict[str, list[dict[str, Any]]]:
    """The JWK Set to keep: it can sign."""
    return {"keys": [key.private_jwk for key in keys]}


def public_key_set(keys: Sequence[SigningKey]) -> dict[str, list[dict[str, Any]]]:
    """The JWK Set to publish: it can only verify."""
    return {"keys": [key.public_jwk for key in keys]}


def token_claims(
    *,
    issuer: str,
    subject: str | None,
    audience: str | None,
    now: float,
    lifetime_seconds: float,
    claims: Mapping[str, JsonValue] | None = None,
) -> dict[str, JsonValue]:
    """The payload of a token (RFC 7519 section 4.1): the registered claims, and `claims`, which win."""
    payload: dict[str, JsonValue] = {"iss": issuer, "iat": int(now), "exp": int(now + lifetime_seconds)}
    if subject is not None:
        payload["sub"] = subject
    if audience is not None:
        payload["aud"] = audience
    return {**payload, **(claims or {})}


class DevelopmentIssuer:
    """An issuer that serves inside a `with` block: on a free loopback port, unless told otherwise.

    It has a key of each algorithm at any time; all that it has ever published stay published until `rotate` says so.
    """

    def __init__(
        self,
        address: TcpAddress = _ANY_PORT,
        *,
        url: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Listen.

        Args:
            address: Where; port 0 lets the system choose.
            url: What the issuer calls itself, the `iss` of its tokens; its address when None.
            clock: Seconds since the epoch. With one, `TOKEN_PATH` mints tokens for anyone who asks.

        Raises:
            EnvironmentUnfitError: The address is in use or not ours.
        """
        self._signing = {algorithm: generate_key(algorithm) for algorithm in ALGORITHMS}
        self._published = tuple(self._signing.values())
        try:
            self._server = _Server((address.host, address.port), _RequestHandler)
        except OSError as error:
            raise EnvironmentUnfitError(f"cannot listen at {address}: {error.strerror}") from None
        self._url = url
        self._clock = clock
        self._server.documents = self._documents()
        self._server.mint = None if clock is None else self._mint_on_request
        # The default of half a second would be waited for at every stop.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The issuer: the `iss` of its tokens."""
        return self._url or f"http://{self.address}"

    @property
    def address(self) -> TcpAddress:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return TcpAddress(str(host), int(port))

    @property
    def jwks_uri(self) -> str:
        """Where its public keys are."""
        return f"{self.url}/jwks.json"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def mint(
        self,
        subject: str,
        *,
        now: float,
        audience: str | None = None,
        lifetime_seconds: float = LIFETIME_SECONDS,
        algorithm: str = "ES256",
        claims: Mapping[str, JsonValue] | None = None,
    ) -> str:
        """A token of this issuer; `claims` win over what the other arguments say."""
        payload = token_claims(
            issuer=self.url,
            subject=subject,
            audience=audience,
            now=now,
            lifetime_seconds=lifetime_seconds,
            claims=claims,
        )
        return self.sign(payload, algorithm)

    def sign(self, claims: Mapping[str, JsonValue], algorithm: str) -> str:
        """A token with these claims and, unless they say otherwise, this issuer's `iss`."""
        return self._signing[algorithm].sign({"iss": self.url, **claims})

    def rotate(self, *, keep_published: bool = True) -> None:
        """Sign with new keys from now on; the old ones stay published, so that their tokens live on, or do not."""
        self._signing = {algorithm: generate_key(algorithm) for algorithm in ALGORITHMS}
        new = tuple(self._signing.values())
        self._published = (*new, *self._published) if keep_published else new
        self._server.documents = self._documents()

    def _mint_on_request(self, content: bytes, algorithm: str) -> dict[str, JsonValue]:
        """The answer to a token request, as RFC 6749 section 5.1 writes it.

        Raises:
            ValueError: The request is none; the message says why.
        """
        if algorithm not in self._signing:
            raise ValueError(f"alg is one of {', '.join(self._signing)}")
        claims = json.loads(content)
        if not isinstance(claims, dict):
            raise ValueError("send the claims as a JSON object")  # noqa: TRY004 - of the request, not of the code
        assert self._clock is not None  # noqa: S101 - nobody asks otherwise
        now = int(self._clock())
        try:
            token = self.sign({"iat": now, "exp": now + int(LIFETIME_SECONDS), **claims}, algorithm)
        except TypeError as error:  # PyJWT's, of an `iss` that is no text
            raise ValueError(str(error)) from None
        return {"access_token": token, "token_type": "Bearer", "expires_in": int(LIFETIME_SECONDS)}

    def _documents(self) -> Mapping[str, bytes]:
        metadata: dict[str, JsonValue] = {
            "issuer": self.url,
            "jwks_uri": self.jwks_uri,
            "id_token_signing_alg_values_supported": list(ALGORITHMS),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        }
        return {
            "/jwks.json": json.dumps(public_key_set(self._published)).encode(),
            "/.well-known/openid-configuration": json.dumps(metadata).encode(),
            "/.well-known/oauth-authorization-server": json.dumps(metadata).encode(),
        }


class _Server(ThreadingHTTPServer):
    documents: Mapping[str, bytes]
    mint: Callable[[bytes, str], dict[str, JsonValue]] | None


class _RequestHandler(BaseHTTPRequestHandler):
    timeout: ClassVar[float | None] = 10.0  # of a client that sends nothing

    def do_GET(self) -> None:
        body = self._issuer.documents.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self._answer(200, body)

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        mint = self._issuer.mint
        if mint is None or url.path != TOKEN_PATH:
            self.send_error(404)
            return
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > _MAXIMUM_CLAIMS_BYTES:
            self.send_error(413, f"Send at most {_MAXIMUM_CLAIMS_BYTES} bytes, with their content-length")
            return
        algorithm = parse_qs(url.query).get("alg", [ALGORITHMS[0]])[0]
        try:
            self._answer(200, json.dumps(mint(self.rfile.read(int(length)), algorithm)).encode())
        except (ValueError, RecursionError) as error:  # RFC 6749 section 5.2
            refusal = {"error": "invalid_request", "error_description": str(error)}
            self._answer(400, json.dumps(refusal).encode())

    @property
    def _issuer(self) -> _Server:
        assert isinstance(self.server, _Server)  # noqa: S101 - it alone creates handlers of this class
        return self.server

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the table is the output."""


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    members = {name: jwk.get(name) for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
