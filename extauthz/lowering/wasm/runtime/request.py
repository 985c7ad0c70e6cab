"""The order of a decision: 400 -> the route that owns the request -> 401 -> 403, or allow (`extauthz.authorizer`).

An owner is its routes by method: a sorted table of methods, the route of all other methods (0: none), whether it
answers preflights. A route is its name, what it wants of the caller, its origins (texts; 0: none), whether any origin
will do, how many kinds of callers there are, and for each the number of its function, from 1 on; 0: left.
"""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import invoke, load32, stop, store32
from extauthz.lowering.wasm.runtime.caller import PROVIDER_BYTES, is_listed, read_caller
from extauthz.lowering.wasm.runtime.header import header_count, raw_header, read_headers
from extauthz.lowering.wasm.runtime.host import read_host
from extauthz.lowering.wasm.runtime.layout import Authenticate, Cell, Configured, Word
from extauthz.lowering.wasm.runtime.memory import address_of, find_sorted, length_of, reset, texts_equal
from extauthz.lowering.wasm.runtime.path import read_path
from extauthz.lowering.wasm.runtime.reply import deny, write_log
from extauthz.lowering.wasm.runtime.trie import find_owner

CONTINUE = 0
PAUSE = 1


def route_for(owner: int, method: int) -> int:
    """The owner's route for a method; 0 when it has none."""
    named = find_sorted(load32(owner), address_of(method), length_of(method))
    if named != 0:
        return named
    if texts_equal(method, Word.CONNECT) or texts_equal(method, Word.TRACE):
        return 0
    return load32(owner + 4)


def passes_preflight(owner: int) -> int:
    """Whether the request is a CORS preflight that passes without credentials or rules: the route then is in its cell.

    Fetch standard, section 3.2.2.
    """
    if header_count(Word.ORIGIN) != 1 or header_count(Word.REQUESTED_METHOD) != 1:
        return 0
    route = route_for(owner, raw_header(Word.REQUESTED_METHOD))
    if route == 0 or load32(route + 8) == 0:
        return 0
    origin = raw_header(Word.ORIGIN)
    if not load32(route + 12) and not is_listed(address_of(origin), length_of(origin), load32(route + 8)):
        return 0
    store32(Cell.ROUTE, load32(route))
    return 1


def readable_headers(route: int) -> int:
    """What lets a script read a denial (`extauthz.pdp.cross_origin`); 0 when no script may."""
    if load32(route + 8) == 0:
        return 0
    if load32(route + 12):
        return find_sorted(load32(Configured.READERS), address_of(Word.STAR), length_of(Word.STAR))
    if header_count(Word.ORIGIN) != 1:
        return 0
    origin = raw_header(Word.ORIGIN)
    if not is_listed(address_of(origin), length_of(origin), load32(route + 8)):
        return 0
    return find_sorted(load32(Configured.READERS), address_of(origin), length_of(origin))


def decide_nowhere() -> int:
    """Without a route a request is authenticated by the default providers, then denied."""
    caller = read_caller()
    if caller < 0:
        return load32(Configured.CALLER_UNKNOWN)
    if caller == 0:
        return load32(Configured.CREDENTIAL_MISSING)
    counts = load32(load32(Configured.PROVIDERS) + 12 + caller * PROVIDER_BYTES)
    return load32(Configured.NO_ROUTE) if counts else load32(Configured.LEFT)


def decide_on_route(route: int) -> int:
    """Authenticate, then ask the route's function for this kind of caller."""
    store32(Cell.ROUTE, load32(route))
    store32(Cell.READABLE, readable_headers(route))
    caller = 0
    if load32(route + 4) != Authenticate.NONE:
        caller = read_caller()
        if caller < 0:
            return load32(Configured.CALLER_UNKNOWN)
        if caller == 0 and load32(route + 4) == Authenticate.REQUIRED:
            return load32(Configured.CREDENTIAL_MISSING)
    function = load32(route + 20 + (caller << 2)) if caller < load32(route + 16) else 0
    answer = invoke(function - 1) if function != 0 else 0
    return answer if answer != 0 else load32(Configured.LEFT)


def decide() -> int:
    """The answer; 0 when the request is left to the authorizer."""
    if not read_headers():
        return load32(Configured.LEFT)
    target = raw_header(Word.PATH)
    if not read_path(target if target != 0 else Word.EMPTY):
        return load32(Configured.PATH_AMBIGUOUS)
    host = raw_header(Word.AUTHORITY)
    if not read_host(host if host != 0 else Word.EMPTY):
        return load32(Configured.HOST_INVALID)
    owner = find_owner()
    if owner == 0:
        return decide_nowhere()
    raw_method = raw_header(Word.METHOD)
    method = raw_method if raw_method != 0 else Word.EMPTY
    if load32(owner + 8) and texts_equal(method, Word.OPTIONS) and passes_preflight(owner):
        return invoke(load32(Configured.PREFLIGHT))
    route = route_for(owner, method)
    return decide_on_route(route) if route != 0 else decide_nowhere()


def proxy_on_request_headers(context: int, count: int, end_of_stream: int) -> int:  # noqa: ARG001 - the host's
    """Decide a request: let it through, answer it, or leave it to the next filter."""
    reset()
    answer = decide()
    is_told = write_log(answer)
    if answer != 0 and load32(answer) == 0:
        deny(answer)
        return PAUSE
    if not is_told:
        stop()  # the next filter would go by what was told before, or by nothing
    return CONTINUE


def proxy_abi_version_0_2_1() -> None:
    """Says which interface this is."""


def proxy_on_context_create(context: int, root: int) -> None:
    """A request begins."""


def proxy_on_vm_start(context: int, size: int) -> int:  # noqa: ARG001 - the host's
    return 1


def proxy_on_configure(context: int, size: int) -> int:  # noqa: ARG001 - the host's
    return 1


def proxy_on_done(context: int) -> int:  # noqa: ARG001 - the host's
    return 1


def proxy_on_delete(context: int) -> None:
    """A request has ended."""


def proxy_on_log(context: int) -> None:
    """The access log is written."""
