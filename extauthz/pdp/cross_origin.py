"""Which scripts of other web origins may read a denial (Fetch standard, section 3.2, "CORS protocol").

A browser runs the request of a script whatever the answer, and keeps the answer from the script unless it names the
script's origin. What is allowed is the upstream's answer, and its to say; a denial is ours: without this a script
cannot tell that it has to sign in. INVARIANT: only an origin that the request's own route lists is named.
"""

from __future__ import annotations

from collections.abc import Sequence

from extauthz.model.policy import ANY_ORIGIN


def reader_of(origins: Sequence[str], asking: Sequence[str]) -> str | None:
    """Whose scripts may read a denial: the origin, or `*`; None when nobody's.

    Args:
        origins: those that the route lists.
        asking: the values of the request's Origin headers.
    """
    if tuple(origins) == ANY_ORIGIN:
        return "*"
    return asking[0] if len(asking) == 1 and asking[0] in origins else None


def readable_headers(reader: str) -> dict[str, str]:
    """The headers of the denial."""
    headers = {"access-control-allow-origin": reader}
    # Another origin is to be told otherwise (section 3.2.5, "CORS protocol and HTTP caches").
    return headers if reader == "*" else {**headers, "vary": "origin"}
