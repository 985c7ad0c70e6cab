"""What a module's memory holds at first: constants and tables, each once, at addresses that never change."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from extauthz.lowering.wasm.runtime.layout import DATA_BEGIN, FALSE, NULL, TRUE, WORDS, Kind, Word

PEER_KEY = "extauthz.peer"
"""The filter state that holds the address which the connection comes from."""

_WORDS: Mapping[Word, str] = {
    Word.METHOD: ":method",
    Word.PATH: ":path",
    Word.AUTHORITY: ":authority",
    Word.CONTENT_TYPE: "content-type",
    Word.REQUEST_ID: "x-request-id",
    Word.ORIGIN: "origin",
    Word.REQUESTED_METHOD: "access-control-request-method",
    Word.OPTIONS: "OPTIONS",
    Word.CONNECT: "CONNECT",
    Word.TRACE: "TRACE",
    Word.GRPC: "application/grpc",
    Word.EMPTY: "",
    Word.SPACE: " ",
    Word.DASH: "-",
    Word.COMMA: ",",
    Word.TRUE: "true",
    Word.FALSE: "false",
    Word.METADATA: "metadata",
    Word.PEER_ADDRESS: "source\0address",
    Word.PEER_URI: "connection\0uri_san_peer_certificate",
    Word.CALLERS: "envoy.filters.http.rbac",
    Word.CALLER_KEY: "extauthz_caller_shadow_effective_policy_id",
    Word.TOKENS: "envoy.filters.http.jwt_authn",
    Word.DECISION: "extauthz",
    Word.UNDECIDED: "left undecided",
    Word.DIRECT_PEER_ADDRESS: f"filter_state\0{PEER_KEY}",
    Word.STAR: "*",
}


class Data:
    """The data in the making."""

    def __init__(self) -> None:
        self._held = bytearray(DATA_BEGIN)
        self._addresses: dict[bytes, int] = {}
        self._texts: dict[str | bytes, int] = {}
        for value, kind, first in ((NULL, Kind.NULL, 0), (FALSE, Kind.BOOLEAN, 0), (TRUE, Kind.BOOLEAN, 1)):
            self.fill(value, (kind, first, 0))
        # The error's kind is 0, as all memory is; so what a cell holds that was never written is an error, too.
        self.fill(32, (Kind.LEFT, 0, 0))
        for word in Word:
            octets = _WORDS[word].encode()
            self.fill(word, (Kind.TEXT, self.put(octets), len(octets)))

    def fill(self, address: int, numbers: Iterable[int]) -> None:
        """Write numbers below the constants."""
        octets = _integers(numbers)
        assert address + len(octets) <= DATA_BEGIN, "this is where constants stand"  # noqa: S101
        self._held[address : address + len(octets)] = octets

    def put(self, octets: bytes) -> int:
        """The address of these octets."""
        known = self._addresses.get(octets)
        if known is None:
            self._held += bytes(-len(self._held) % 8)
            known = self._addresses[octets] = len(self._held)
            self._held += octets
        return known

    def numbers(self, numbers: Iterable[int]) -> int:
        """The address of an array of i32."""
        return self.put(_integers(numbers))

    def text(self, text: str | bytes) -> int:
        """A text."""
        known = self._texts.get(text)
        if known is None:
            octets = text.encode() if isinstance(text, str) else text
            known = self._texts[text] = self.numbers((Kind.TEXT, self.put(octets), len(octets)))
        return known

    def texts(self, texts: Sequence[str]) -> int:
        """How many texts there are, then each."""
        return self.numbers((len(texts), *(self.text(text) for text in texts)))

    def number(self, number: float) -> int:
        """A number."""
        return self.numbers((Kind.NUMBER, self.put(struct.pack("<d", number)), 8))

    def list(self, serialised: bytes) -> int:
        """A list: a serialised google.protobuf.ListValue."""
        return self.numbers((Kind.LIST, self.put(serialised), len(serialised)))

    def table(self, rows: Mapping[str, int]) -> int:
        """A sorted table: how many rows, then each text with its number."""
        ordered = sorted((text.encode(), number) for text, number in rows.items())
        return self.numbers((len(ordered), *(n for text, number in ordered for n in (self.text(text), number))))

    def finished(self) -> bytes:
        """All of it, from address 0 on."""
        self._held += bytes(-len(self._held) % 16)
        return bytes(self._held)


def _integers(numbers: Iterable[int]) -> bytes:
    numbers = tuple(numbers)
    return struct.pack(f"<{len(numbers)}i", *numbers)


assert max(Word) + 12 <= DATA_BEGIN  # noqa: S101
assert WORDS % 4 == 0  # noqa: S101
