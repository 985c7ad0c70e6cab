"""Where things stand in a module's memory: constants, cells, and the tables that a policy set fills in."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """What a value is: the first field of its record."""

    ERROR = 0
    """CEL's error: of a key that is absent, of a comparison of unlike types."""
    LEFT = 1
    """Not known here: the authorizer knows."""
    NULL = 2
    BOOLEAN = 3
    NUMBER = 4
    """The second field is the address of a double. Every number is one, as in google.protobuf.Struct."""
    TEXT = 5
    """Of UTF-8: address and length."""
    LIST = 6
    """A serialised google.protobuf.ListValue: address and length."""
    MAP = 7
    """A serialised google.protobuf.Struct: address and length."""


RECORD_BYTES: Final = 12
"""Kind, and two fields at 4 and at 8."""

# Values of which there is one each, so that they are compared by address.
ERROR: Final = 16
LEFT: Final = 32
NULL: Final = 48
FALSE: Final = 64
TRUE: Final = 80

CELLS: Final = 96


class Cell(IntEnum):
    """What one request makes known; each cell is an i32."""

    HEAP_NEXT = CELLS
    """Where the next record goes."""
    CURSOR = CELLS + 4
    """Behind the number that was read last."""
    HOST_ADDRESS = CELLS + 8
    """Where the host has put what it was asked for."""
    HOST_LENGTH = CELLS + 12
    HEADERS = CELLS + 16
    """An array of 16 octets a header: address and length of the name, of the value."""
    HEADER_COUNT = CELLS + 20
    HOST = CELLS + 24
    """Canonical: a text."""
    PATH = CELLS + 28
    """Canonical: a text, decoded."""
    SEGMENTS = CELLS + 32
    """An array of 8 octets a segment: address and length."""
    SEGMENT_COUNT = CELLS + 36
    CAPTURES = CELLS + 40
    """For each variable of the owner's pattern, from left to right, which segment it begins at: an array of i32."""
    METADATA = CELLS + 44
    """The request's dynamic metadata, serialised: a text, 0 before it is asked for."""
    CLAIMS = CELLS + 48
    """The payload of the caller's token: a map, 0 for nobody."""
    ROUTE = CELLS + 52
    """The route's name: a text, 0 without one."""
    POLICY = CELLS + 56
    """The rule that decided: a text, 0 without one."""
    READABLE = CELLS + 60
    """Headers that let a script read a denial, encoded as an answer's: a text, 0 when no script may."""
    ITEM = CELLS + 64
    """The item of a list that is asked."""


CONFIGURATION: Final = 192


class Configured(IntEnum):
    """What the policy set fixes; each an i32."""

    HEAP_BEGIN = CONFIGURATION
    BITS = CONFIGURATION + 4
    """`Option`s."""
    EXACT_HOSTS = CONFIGURATION + 8
    """A table of texts with the roots of tries; 0 when there is none."""
    SUFFIX_HOSTS = CONFIGURATION + 12
    ANY_HOST = CONFIGURATION + 16
    """The root of a trie; 0 when there is none."""
    NODE_COUNT = CONFIGURATION + 20
    """Of all tries."""
    PROVIDERS = CONFIGURATION + 24
    """How many kinds of callers, then for each 12 octets: its id, its payload's key, whether it counts without a route;
    the first is nobody."""
    PATH_AMBIGUOUS = CONFIGURATION + 28
    """Answers: addresses of their records; 0 for what is left to the authorizer."""
    HOST_INVALID = CONFIGURATION + 32
    CREDENTIAL_MISSING = CONFIGURATION + 36
    NO_ROUTE = CONFIGURATION + 40
    PREFLIGHT = CONFIGURATION + 44
    """An index of the table of functions."""
    CALLER_UNKNOWN = CONFIGURATION + 48
    LEFT = CONFIGURATION + 52
    TRUSTED_PROXIES = CONFIGURATION + 56
    """Networks; 0 when there is none."""
    READERS = CONFIGURATION + 60
    """A table of the origins that routes list, and `*`, with the headers by which they may read a denial."""


WORDS: Final = 256


class Word(IntEnum):
    """Texts that the runtime names: each the address of its record."""

    METHOD = WORDS
    PATH = WORDS + 12
    AUTHORITY = WORDS + 24
    CONTENT_TYPE = WORDS + 36
    REQUEST_ID = WORDS + 48
    ORIGIN = WORDS + 60
    REQUESTED_METHOD = WORDS + 72
    OPTIONS = WORDS + 84
    CONNECT = WORDS + 96
    TRACE = WORDS + 108
    GRPC = WORDS + 120
    EMPTY = WORDS + 132
    SPACE = WORDS + 144
    DASH = WORDS + 156
    COMMA = WORDS + 168
    TRUE = WORDS + 180
    FALSE = WORDS + 192
    METADATA = WORDS + 204
    """Paths of attributes: keys with NUL between them."""
    PEER_ADDRESS = WORDS + 216
    PEER_URI = WORDS + 228
    CALLERS = WORDS + 240
    """The namespace of the classifying filter's metadata."""
    CALLER_KEY = WORDS + 252
    TOKENS = WORDS + 264
    """The namespace of verified tokens."""
    DECISION = WORDS + 276
    """Under which the decision is told."""
    UNDECIDED = WORDS + 300
    """What is told of a request that is left."""
    DIRECT_PEER_ADDRESS = WORDS + 312
    """Where a filter in front of the module has written the address that the connection comes from."""
    STAR = WORDS + 288


DATA_BEGIN: Final = 1024


class Option(IntEnum):
    """How paths are read (`paths:` of a policy set): bits."""

    KEEP_ENCODED_SLASH = 1
    KEEP_DOUBLE_ENCODING = 2
    KEEP_REPEATED_SLASH = 4
    KEEP_DOT_SEGMENTS = 8
    KEEP_PARAMETERS = 16
    TRAILING_SLASH_DISTINCT = 32


class Authenticate(IntEnum):
    """What a route wants of the caller."""

    REQUIRED = 0
    OPTIONAL = 1
    NONE = 2
