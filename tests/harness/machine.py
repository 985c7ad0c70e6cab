"""A module's functions one by one, run by wasmtime, with a host that holds what a test gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import wasmtime
from envoy.config.core.v3.base_pb2 import Metadata
from google.protobuf.json_format import ParseDict

from extauthz.lowering.wasm.assembler import UNREACHABLE
from extauthz.lowering.wasm.emitter import Emitter
from extauthz.lowering.wasm.intrinsics import HOST, NOT_FOUND, OK
from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, NULL, TRUE, Configured, Kind

JWT_AUTHN = "envoy.filters.http.jwt_authn"
RBAC = "envoy.filters.http.rbac"

SINGLES = {ERROR: "error", LEFT: "left", NULL: "null", FALSE: "false", TRUE: "true"}
"""The values that are told by their address."""


def _engine() -> wasmtime.Engine:
    """Modules run for a moment each: compiling them well would take longer."""
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"
    config.parallel_compilation = False
    return wasmtime.Engine(config)


_ENGINE = _engine()
_INTERNAL_FAILURE = 10


class StoppedError(Exception):
    """The module has stopped."""


class Machine:
    """A module that runs, and its host."""

    def __init__(
        self,
        emitter: Emitter | None = None,
        configured: Mapping[Configured, int] | None = None,
        *,
        headers: Sequence[tuple[str, str | bytes]] = (),
        properties: Mapping[str, bytes] | None = None,
        module: bytes | None = None,
    ) -> None:
        self.headers = [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]
        self.properties = dict(properties or {})
        self.encoded_headers: bytes | None = None
        """In the place of the headers, as the host writes them down."""
        self.failing: set[str] = set()
        """The host's functions that fail."""
        self.written: dict[str, str] = {}
        """What the module has written into filter state."""
        self.changed: list[tuple[str, str | None]] = []
        """Headers that the module has set, or removed (None)."""
        self.paused = False
        """Whether the last request was answered."""
        self.response: tuple[int, str, str, dict[str, str]] | None = None
        """Status, details, body and headers of what the module has answered."""
        compiled = (
            _plain()
            if emitter is None and module is None
            else wasmtime.Module(_ENGINE, module or _all(emitter, configured))
        )
        self._store = wasmtime.Store(_ENGINE)
        linker = wasmtime.Linker(_ENGINE)
        for name, parameters in HOST.items():
            kind = wasmtime.FuncType([wasmtime.ValType.i32()] * parameters, [wasmtime.ValType.i32()])
            linker.define_func("env", name, kind, self._host(name))
        self._instance = linker.instantiate(self._store, compiled)
        exports = self._instance.exports(self._store)
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._memory = memory
        self._exports = exports
        if emitter is not None or module is None:
            self.call("reset")

    def call(self, name: str, *arguments: int) -> int:
        """Call a function.

        Raises:
            StoppedError: the module has stopped.
        """
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        try:
            result = function(self._store, *arguments)
        except wasmtime.Trap as trap:
            raise StoppedError(str(trap)) from trap
        return 0 if result is None else int(result)

    def request(self) -> int:
        """One request, as Envoy hands it over: 0 when it goes on."""
        return self.call("proxy_on_request_headers", 1, len(self.headers), 1)

    # --- Memory ---

    def put(self, octets: bytes) -> int:
        """The address of octets."""
        address = self.call("proxy_on_memory_allocate", max(len(octets), 1))
        self._memory.write(self._store, octets, address)
        return address

    def read(self, address: int, length: int) -> bytes:
        return bytes(self._memory.read(self._store, address, address + length))

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little", signed=True)

    def store(self, address: int, number: int) -> None:
        self._memory.write(self._store, number.to_bytes(4, "little", signed=True), address)

    def numbers(self, *numbers: int) -> int:
        return self.put(b"".join(number.to_bytes(4, "little", signed=True) for number in numbers))

    def text(self, text: str | bytes) -> int:
        """A text."""
        octets = text.encode() if isinstance(text, str) else text
        return self.numbers(Kind.TEXT, self.put(octets), len(octets))

    def texts(self, texts: Sequence[str]) -> int:
        return self.numbers(len(texts), *(self.text(text) for text in texts))

    def value(self, value: int) -> object:
        """What a value is, for comparisons: the name of one told by its address, a text, or its kind."""
        if value in SINGLES:
            return SINGLES[value]
        kind = Kind(self.word(value))
        return self.read_text(value).decode() if kind is Kind.TEXT else kind.name.lower()

    def read_text(self, text: int) -> bytes:
        return self.read(self.word(text + 4), self.word(text + 8))

    # --- The host ---

    def _host(self, name: str) -> Callable[..., int]:
        def answer(*arguments: int) -> int:
            function: Callable[..., int] = getattr(self, f"_{name}")
            return _INTERNAL_FAILURE if name in self.failing else function(*arguments)

        return answer

    def _give(self, octets: bytes, address_at: int, length_at: int) -> int:
        self.store(address_at, self.put(octets))
        self.store(length_at, len(octets))
        return OK

    def _proxy_get_header_map_pairs(self, map_type: int, address_at: int, length_at: int) -> int:
        assert map_type == 0
        if self.encoded_headers is not None:
            return self._give(self.encoded_headers, address_at, length_at)
        pairs = [(name.encode(), value) for name, value in self.headers]
        sizes = b"".join(len(octets).to_bytes(4, "little") for pair in pairs for octets in pair)
        content = b"".join(octets + b"\0" for pair in pairs for octets in pair)
        return self._give(len(pairs).to_bytes(4, "little") + sizes + content, address_at, length_at)

    def _proxy_get_property(self, path: int, length: int, address_at: int, length_at: int) -> int:
        found = self.properties.get(self.read(path, length).decode().replace("\0", "."))
        return NOT_FOUND if found is None else self._give(found, address_at, length_at)

    def _proxy_set_property(self, key: int, key_length: int, value: int, value_length: int) -> int:
        self.written[self.read(key, key_length).decode()] = self.read(value, value_length).decode()
        return OK

    def _proxy_replace_header_map_value(self, _: int, name: int, name_length: int, value: int, length: int) -> int:
        self.changed.append((self.read(name, name_length).decode(), self.read(value, length).decode()))
        return OK

    def _proxy_remove_header_map_value(self, _: int, name: int, name_length: int) -> int:
        self.changed.append((self.read(name, name_length).decode(), None))
        return OK

    def _proxy_send_local_response(
        self,
        status: int,
        details: int,
        details_size: int,
        body: int,
        body_size: int,
        headers: int,
        size: int,
        grpc: int,
    ) -> int:
        assert grpc == -1
        encoded = self.read(headers, size)
        count = int.from_bytes(encoded[:4], "little")
        octets = encoded[4 + 8 * count :].split(b"\0")
        pairs = {octets[2 * n].decode(): octets[2 * n + 1].decode() for n in range(count)}
        self.response = status, self.read(details, details_size).decode(), self.read(body, body_size).decode(), pairs
        return OK


def metadata(caller: str | None, provider: str = "corp", **claims: Any) -> dict[str, bytes]:
    """The dynamic metadata as the filters in front of a module write it, as an attribute."""
    document: dict[str, object] = {"some.other.filter": {"x": 1}}
    if caller is not None:
        document[RBAC] = {"extauthz_caller_shadow_effective_policy_id": caller, "other": "x"}
    if claims:
        document[JWT_AUTHN] = {f"header_{provider}": {"alg": "ES256"}, f"claims_{provider}": claims}
    return {"metadata": ParseDict({"filterMetadata": document}, Metadata()).SerializeToString()}


def peer(address: str) -> dict[str, bytes]:
    """The connection's peer as Envoy tells of it twice."""
    return {"source.address": address.encode(), "filter_state.extauthz.peer": address.encode()}


def _all(emitter: Emitter | None, configured: Mapping[Configured, int] | None) -> bytes:
    """The module with every function of the runtime exported."""
    emitter = emitter or Emitter()
    for name, function in emitter.functions.by_name.items():
        if name not in HOST and not name.startswith("proxy_"):
            emitter.module.export(name, function.index)
    return emitter.finished(configured or {})


@cache
def _plain() -> wasmtime.Module:
    """The runtime alone."""
    emitter = Emitter()
    emitter.module.table_index(emitter.function(UNREACHABLE))
    return wasmtime.Module(_ENGINE, _all(emitter, None))
