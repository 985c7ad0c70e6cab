"""A remote OPA as an engine: asked over its REST API (`POST /v1/data/PATH`) about requests that the set allows.

Fails closed, each in its own way. Undefined and false are a denial. A policy that fails on a request, built-in errors
included (`strict-builtin-errors`), and a result that is no decision are evaluation errors: the request provokes them,
so they say nothing about the next one. No answer, or one that no OPA gives, is could-not-decide, and after some of
those in a row OPA is left alone for a while (`sources.circuit`): requests are then answered at once.
Document: openpolicyagent.org, "REST API Reference", "Data API".
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from extauthz.authn.provider import origin_problem
from extauthz.authn.strict_json import JsonRefusedError, parse_object
from extauthz.errors import ConfigurationError
from extauthz.languages.rego.decision import DocumentError, judgment_of
from extauthz.languages.rego.facts_input import FactsInput
from extauthz.languages.rego.input_document import InputRefusedError
from extauthz.languages.rego.value import Value, json_text
from extauthz.model.access import Facts, JsonValue
from extauthz.model.decision import Outcome, Reason
from extauthz.model.engine import EngineAnswer, OpaEngine
from extauthz.sources.circuit import Circuit
from extauthz.sources.http_pool import ConnectionPool, Endpoint, ExchangeError, Headers, Reply, ReplyTooLargeError

MAXIMUM_REPLY_BYTES: Final = 1024 * 1024
TOKEN_READ_SECONDS: Final = 5.0
"""How old what was read of the token's file may be: whoever rotates it leaves the old one valid for longer."""
_REPORT_SECONDS: Final = 10.0
"""Between two reports of requests that OPA's policy failed on, which anybody may provoke."""
_HTTP_OK: Final = 200
_EVALUATION_STATUSES: Final = frozenset({400, 500})
"""With a `code` in the body: about this request. OPA itself answers, so it is reachable."""

_INPUT: Final = FactsInput([()])
"""All of it: nobody here knows what OPA's policy reads."""

_ALLOWED = EngineAnswer(Reason.ALLOWED)
_DENIED = EngineAnswer(Reason.DENIED_BY_ENGINE)
_ERRORED = EngineAnswer(Reason.EVALUATION_ERROR)
_UNAVAILABLE = EngineAnswer(Reason.ENGINE_UNAVAILABLE)
_TIMED_OUT = EngineAnswer(Reason.DEADLINE_EXCEEDED)


def check_engine(engine: OpaEngine) -> None:
    """
    Raises:
        ConfigurationError: it cannot be asked like that; names what to change.
    """  # noqa: D205, D212 - the name says it
    try:
        parsed = urlsplit(engine.url)
        port_is_wrong = parsed.port == 0
        parsed.netloc.encode("idna")
    except ValueError as error:  # UnicodeError is one
        raise ConfigurationError(f"engine.opa.url: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.hostname or port_is_wrong:
        raise ConfigurationError("engine.opa.url: write http://HOST:PORT or https://HOST:PORT")
    if parsed.query or parsed.fragment or "@" in parsed.netloc:
        raise ConfigurationError(
            "engine.opa.url: a user, query or fragment is not sent: put a token into engine.opa.token_file"
        )
    problem = origin_problem(parsed.scheme, parsed.hostname, allow_http=engine.allow_http)
    if problem:
        raise ConfigurationError(
            "engine.opa.url: plain http to another machine can be read and forged on the way: use https, or write "
            "allow_http: true where the network is trusted"
        )
    if not engine.path.strip("/") or "//" in engine.path or "." in engine.path.split("/")[0]:
        raise ConfigurationError("engine.opa.path: write the names below `data` with slashes, as in shop/allow")
    if (engine.client_cert is None) != (engine.client_key is None):
        raise ConfigurationError("engine.opa: client_cert and client_key go together: give both, or neither")
    if parsed.scheme == "http" and (engine.ca_file or engine.client_cert):
        raise ConfigurationError("engine.opa: ca_file and client_cert need an https url")
    if engine.token_file is not None:
        _read_token(engine.token_file)
    if parsed.scheme == "https":
        _tls_context(engine)


class RemoteOpa:
    """Asks. For one event loop."""

    def __init__(
        self,
        engine: OpaEngine,
        *,
        on_trouble: Callable[[str], None],
        on_recovery: Callable[[], None],
        monotonic: Callable[[], float],
    ) -> None:
        """Connect when there is something to ask.

        Args:
            engine: which OPA.
            on_trouble: told when OPA is left alone, and, now and then, of requests that its policy fails on.
            on_recovery: told when it answers again.
            monotonic: seconds of a clock that never jumps.

        Raises:
            ConfigurationError: as `check_engine`.
        """
        check_engine(engine)
        parsed = urlsplit(engine.url)
        assert parsed.hostname is not None  # noqa: S101 - it was checked
        secure = parsed.scheme == "https"
        self._engine = engine
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery
        self._monotonic = monotonic
        self._circuit = Circuit()
        self._pool = ConnectionPool(
            Endpoint(
                parsed.hostname,
                parsed.port or (443 if secure else 80),
                parsed.netloc.encode("idna"),
                (lambda: _tls_context(engine)) if secure else None,
            ),
            size=engine.connections,
            maximum_bytes=MAXIMUM_REPLY_BYTES,
        )
        segments = "/".join(quote(part, safe="") for part in engine.path.strip("/").split("/"))
        prefix = quote(parsed.path.rstrip("/"), safe="/%")
        self._target = f"{prefix}/v1/data/{segments}?strict-builtin-errors=true".encode()
        self._token: tuple[float, bytes] | None = None
        self._next_report = float("-inf")
        self.answers: Counter[str] = Counter()
        """Answers since the start, by reason."""
        self.seconds = 0.0
        """That they took, all together."""

    async def ask(self, facts: Facts, seconds: float) -> EngineAnswer:
        """Its say about this request, within this time or its own limit, whichever is less."""
        started = self._monotonic()
        answer = _TIMED_OUT if seconds <= 0 else _UNAVAILABLE
        if seconds > 0 and self._circuit.lets_in(started):
            try:
                answer = await self._ask(facts, min(seconds, self._engine.timeout_seconds))
            except BaseException:
                # The caller has gone, which clients do as often as they like, or we have a bug: neither says anything
                # about OPA.
                self._circuit.abandoned()
                raise
        self.answers[answer.reason] += 1
        self.seconds += self._monotonic() - started
        return answer

    @property
    def is_left_alone(self) -> bool:
        """Whether it has not answered lately, and only a probe is let through now and then."""
        return self._circuit.is_open

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    async def _ask(self, facts: Facts, seconds: float) -> EngineAnswer:
        try:
            question = _written({"input": _INPUT.make(facts)})
        except (InputRefusedError, RecursionError) as error:  # a body may be nested as deep as it likes
            self._circuit.abandoned()
            self._report(f"no input document: {error}")
            return _ERRORED
        try:
            async with asyncio.timeout(seconds):
                reply = await self._pool.post(self._target, self._headers(), question)
        except TimeoutError:
            return self._failed(f"no answer within {seconds * 1000:.0f} ms", _TIMED_OUT)
        except (ExchangeError, ConfigurationError) as error:
            return self._failed(str(error), _UNAVAILABLE)
        except ReplyTooLargeError as error:
            return self._answered(_ERRORED, f"the answer is refused: {error}")
        return self._read(reply)

    def _headers(self) -> Headers:
        headers = [(b"content-type", b"application/json")]
        if self._engine.token_file is not None:
            now = self._monotonic()
            if self._token is None or now - self._token[0] > TOKEN_READ_SECONDS:
                self._token = now, b"Bearer " + _read_token(self._engine.token_file)
            headers.append((b"authorization", self._token[1]))
        return headers

    def _read(self, reply: Reply) -> EngineAnswer:
        try:
            content = parse_object(reply.body)
        except JsonRefusedError as error:
            if reply.status == _HTTP_OK:
                return self._answered(_ERRORED, f"the answer is refused: {error}")
            return self._failed(f"status {reply.status}", _UNAVAILABLE)
        if reply.status in _EVALUATION_STATUSES and isinstance(content.get("code"), str):
            return self._answered(_ERRORED, f"status {reply.status}: {_explained(content)}")
        if reply.status != _HTTP_OK:
            return self._failed(f"status {reply.status}", _UNAVAILABLE)
        result = content.get("result", False)  # left out: undefined
        if result is True or result is False:
            return self._answered(_ALLOWED if result else _DENIED)
        try:
            # No header for the upstream: the set does not know which would have to be taken from callers beforehand.
            judgment = judgment_of(result, headers=())
        except DocumentError as error:
            return self._answered(_ERRORED, f"the result: {error}")
        allows = judgment.outcome is Outcome.SATISFIED
        return self._answered(EngineAnswer(Reason.ALLOWED if allows else Reason.DENIED_BY_ENGINE, judgment))

    def _answered(self, answer: EngineAnswer, problem: str = "") -> EngineAnswer:
        if self._circuit.succeeded():
            self._on_recovery()
        if problem:
            self._report(problem)
        return answer

    def _report(self, problem: str) -> None:
        now = self._monotonic()
        if now >= self._next_report:
            self._next_report = now + _REPORT_SECONDS
            self._on_trouble(problem)

    def _failed(self, problem: str, answer: EngineAnswer) -> EngineAnswer:
        if self._circuit.failed(self._monotonic()):
            self._on_trouble(f"{problem}; requests are answered as could-not-decide until it answers again")
        return answer


def _written(document: dict[str, Value]) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":")).encode()
    except TypeError:  # a number of a body with more digits than a double has
        return json_text(document).encode()


def _explained(content: Mapping[str, JsonValue]) -> str:
    """OPA's error, without its message: that may quote the request."""
    errors = content.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else content
    location = first.get("location")
    place = f" at {location.get('file')}:{location.get('row')}" if isinstance(location, Mapping) else ""
    return f"{first.get('code')}{place}"


def _read_token(path: str) -> bytes:
    try:
        token = Path(path).read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"engine.opa.token_file: {path}: {error.strerror}: name a file that holds a bearer token"
        ) from None
    if not token or not all(0x21 <= byte <= 0x7E for byte in token):  # RFC 6750 section 2.1
        raise ConfigurationError(f"engine.opa.token_file: {path}: a bearer token is one word of visible ASCII")
    return token


def _tls_context(engine: OpaEngine) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=engine.ca_file)
        if engine.client_cert is not None:
            context.load_cert_chain(engine.client_cert, engine.client_key, password=_no_passphrase)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(filter(None, (engine.ca_file, engine.client_cert, engine.client_key)))
        raise ConfigurationError(f"engine.opa: {files}: {error}: name PEM files that can be read") from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody to ask for it")
