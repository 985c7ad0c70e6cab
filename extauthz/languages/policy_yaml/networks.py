"""Addresses and identities of machines: IP networks, SPIFFE IDs, web origins, URLs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.policy import Network

_SPIFFE = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)(/\*\*)?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_MAX_SPIFFE_ID = 2048
_LOOPBACK_NAMES = frozenset({"localhost"})


def read_networks(texts: Iterable[Scalar], report: Report) -> tuple[Network, ...]:
    """The networks; an address alone is a network of one."""
    networks: list[Network] = []
    for scalar in texts:
        try:
            networks.append(ipaddress.ip_network(scalar.text))
        except ValueError:
            report.error(
                Code.NETWORK, scalar, f"{quoted(scalar.text)} is not an IP network", _network_hint(scalar.text)
            )
    return tuple(networks)


def _network_hint(text: str) -> str:
    try:
        return f"its host bits are set; the network is {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return "write 10.0.0.0/8 or 2001:db8::/32"


def read_workloads(texts: Iterable[Scalar], trust_domains: Sequence[str], report: Report) -> tuple[str, ...]:
    """SPIFFE IDs (SPIFFE-ID sections 2.1 to 2.4) of trusted domains, each with a path or a final `/**`."""
    workloads: list[str] = []
    for scalar in texts:
        match = _SPIFFE.fullmatch(scalar.text)
        segments = match[2].split("/") if match else []
        if match is None or not (match[2] or match[3]) or {".", ".."} & set(segments):
            hint = "write spiffe://DOMAIN/PATH, or spiffe://DOMAIN/PATH/** for all below it"
            report.error(Code.WORKLOAD, scalar, f"{quoted(scalar.text)} is not a SPIFFE ID", hint)
        elif len(scalar.text) > _MAX_SPIFFE_ID:
            report.error(Code.WORKLOAD, scalar, f"a SPIFFE ID has at most {_MAX_SPIFFE_ID} characters")
        elif match[1] not in trust_domains:
            hint = report.suggest(match[1], trust_domains) or f"add `trust_domains: [{match[1]}]`"
            report.error(Code.WORKLOAD, scalar, f"{quoted(match[1])} is not one of the trust_domains", hint)
        else:
            workloads.append(scalar.text)
    return tuple(workloads)


def read_origins(texts: Sequence[Scalar], report: Report) -> tuple[str, ...]:
    """Web origins as browsers send them (RFC 6454 section 6.2), or `*` alone."""
    for scalar in texts:
        if scalar.text == "*":
            if len(texts) > 1:
                report.error(Code.ORIGIN, scalar, "'*' is any origin, so it stands alone")
        elif not _ORIGIN.fullmatch(scalar.text):
            hint = "write scheme://host or scheme://host:port in lower case, without a path"
            report.error(Code.ORIGIN, scalar, f"{quoted(scalar.text)} is not an origin", hint)
    return tuple(scalar.text for scalar in texts)


def http_url(text: str) -> SplitResult | None:
    """An http or https URL with a host and without user information or fragment; None when it is no such."""
    try:
        url = urlsplit(text)
        well_formed = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        return None
    printable = all("!" <= character <= "~" for character in text)
    return url if well_formed and printable and "@" not in url.netloc and not url.fragment else None


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOOPBACK_NAMES
