"""Which header names a policy may set, add or remove."""

from __future__ import annotations

import re
from typing import Final

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
MAX_NAME: Final = 100
# Connection-specific (RFC 9113 section 8.2.2, RFC 9110 section 7.6.1), framing, and what names the target.
_RESERVED: Final = frozenset(
    {
        *("connection", "content-length", "host", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_RESERVED_PREFIXES: Final = (":", "x-envoy-", "x-forwarded-")


def is_reserved(name: str) -> bool:
    """Whether a lower-case name belongs to the connection or to the proxy."""
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES)


def is_header_name(name: str) -> bool:
    """Whether a lower-case text is a header's name, and not endless."""
    return len(name) <= MAX_NAME and _TOKEN.fullmatch(name) is not None
