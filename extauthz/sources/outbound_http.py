"""HTTP GETs of JSON that a policy set asks for, without lending the caller's place in the network to anyone.

What a URL names is decided by others: DNS, redirects, an issuer's metadata. So every connection is made to an address
that was checked just before, never to a name (no DNS rebinding); link-local and cloud metadata addresses are refused;
plain http stays on loopback unless the policy says otherwise; redirects stay on their host; the environment's proxies
and certificates are not read; and size and time are limited.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from extauthz.authn.provider import is_loopback, origin_problem
from extauthz.authn.strict_json import JsonRefusedError, parse_object
from extauthz.model.access import JsonValue

MAXIMUM_BYTES = 1024 * 1024
TOTAL_SECONDS = 10.0
"""For one GET with its redirects, from the first look-up to the last byte."""
_CONNECT_SECONDS = 3.0
_MAXIMUM_REDIRECTS = 3

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port -> the addresses to try, in order. Raises OSError when there are none."""

_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this network" (RFC 1122): Linux connects it to loopback
        "169.254.0.0/16",  # link-local; the metadata services of AWS, Azure, Google and others
        "168.63.129.16/32",  # Azure's host agent
        "100.100.100.200/32",  # Alibaba's metadata service
        "192.0.0.192/32",  # Oracle's metadata service
        "224.0.0.0/4",  # multicast
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",  # link-local
        "ff00::/8",  # multicast
        "fd00:ec2::254/128",  # AWS's metadata service
        "fd20:ce::254/128",  # Google's
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 section 2.1


class OutboundError(Exception):
    """The document could not be had; the message says why, and holds no secret."""


class HttpStatusError(OutboundError):
    """The server answered with another status than 200."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, and for how many seconds its server says it is fresh (None: it does not say)."""

    content: Mapping[str, JsonValue]
    fresh_seconds: float | None


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


async def get_json(url: str, *, ca_file: str | None, allow_http: bool, resolver: Resolver = resolve) -> Document:
    """GET a JSON object.

    Args:
        url: https, or http to loopback or where `allow_http` permits it.
        ca_file: the only certification authorities to believe, PEM; None takes the usual ones.
        allow_http: whether plain http may go to other machines.
        resolver: how names become addresses.

    Raises:
        OutboundError: it cannot be had.
    """
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            context = await asyncio.to_thread(_tls_context, ca_file)
            transport = _CheckedTransport(context, resolver, allow_http=allow_http)
            timeout = httpx.Timeout(TOTAL_SECONDS, connect=_CONNECT_SECONDS)
            async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
                return await _follow(client, url, allow_http=allow_http)
    except TimeoutError:
        raise OutboundError(f"GET {_shown(url)}: no whole answer within {TOTAL_SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, OSError, UnicodeError) as error:
        raise OutboundError(f"GET {_shown(url)}: {str(error) or type(error).__name__}") from error


async def _follow(client: httpx.AsyncClient, url: str, *, allow_http: bool) -> Document:
    target = httpx.URL(url)
    for _ in range(1 + _MAXIMUM_REDIRECTS):
        problem = origin_problem(target.scheme, target.host, allow_http=allow_http)
        if problem or target.userinfo:
            raise OutboundError(f"GET {_shown(str(target))}: {problem or 'it holds a user name'}")
        # Uncompressed, so that the limit on size is one on what we hold in memory.
        async with client.stream("GET", target, headers={"accept-encoding": "identity"}) as response:
            if not response.has_redirect_location:
                return await _read(response, target)
            target = _redirected(target, response.headers["location"])
    raise OutboundError(f"GET {_shown(url)}: more than {_MAXIMUM_REDIRECTS} redirects")


def _redirected(source: httpx.URL, location: str) -> httpx.URL:
    target = source.join(location)
    if target.host != source.host:
        raise OutboundError(f"GET {_shown(str(source))}: redirected to another host")
    if source.scheme == "https" and target.scheme != "https":
        raise OutboundError(f"GET {_shown(str(source))}: redirected from https to {target.scheme}")
    return target


async def _read(response: httpx.Response, url: httpx.URL) -> Document:
    shown = _shown(str(url))
    if response.status_code != httpx.codes.OK:
        raise HttpStatusError(f"GET {shown}: status {response.status_code}", response.status_code)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise OutboundError(f"GET {shown}: the answer is compressed, though that was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            raise OutboundError(f"GET {shown}: more than {MAXIMUM_BYTES} bytes")
    try:
        content = parse_object(bytes(body))
    except JsonRefusedError as error:
        raise OutboundError(f"GET {shown}: the answer is refused: {error}") from None
    return Document(content, _max_age(response.headers.get("cache-control", "")))


def _max_age(cache_control: str) -> float | None:
    """RFC 9111 section 5.2.2: seconds, 0 for what must not be reused without asking."""
    directives = [d.strip().lower() for d in cache_control.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    ages = [found[1] for d in directives if (found := re.fullmatch(r'max-age="?([0-9]{1,9})"?', d))]
    return float(ages[0]) if ages else None


def refusal(address: str) -> str | None:
    """Why no connection is made to this address, None when one may be."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "is no IP address"
    if any(reached in network for reached in _reached(parsed) for network in _REFUSED_NETWORKS):
        return "is a link-local, metadata, multicast or unspecified address"
    return None


def _reached(address: Address) -> Sequence[Address]:
    """The address and the IPv4 address that it may be translated to on the way."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    translated = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return tuple(a for a in (address, address.ipv4_mapped, address.sixtofour, translated) if a is not None)


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Resolves the host, checks each address, and connects to the address instead of the name.

    The Host header keeps the name, and so does TLS: `sni_hostname` is what the certificate is verified against.
    """

    def __init__(self, context: ssl.SSLContext, resolver: Resolver, *, allow_http: bool) -> None:
        self._transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
        self._resolver = resolver
        self._allow_http = allow_http

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        error: httpx.TransportError = httpx.ConnectError("the host has no address")
        for address in await self._resolver(host, port):
            self._check(request.url, address)
            try:
                return await self._transport.handle_async_request(_to_address(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
                error = failure
        raise error

    def _check(self, url: httpx.URL, address: str) -> None:
        problem = refusal(address)
        if problem is None and url.scheme == "http" and not self._allow_http and not is_loopback(address):
            problem = "is no loopback address, and plain http is for loopback"
        if problem:
            raise httpx.ConnectError(f"{address} {problem}")

    async def aclose(self) -> None:
        await self._transport.aclose()


def _to_address(request: httpx.Request, host: str, address: str) -> httpx.Request:
    return httpx.Request(
        method=request.method,
        url=request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Read anew each time when it is a file: a renewed one counts at the next fetch."""
    return _usual_tls_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)


@functools.cache
def _usual_tls_context() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _shown(url: str) -> str:
    """The URL without what may be secret in it: user, query, fragment."""
    return url.partition("?")[0].partition("#")[0] if "@" not in url else "(a URL with a user name)"
