"""What Istio's rules match, as CEL; where CEL has no exact equal, between two bounds.

A `Bounds` is a pair of conditions: `under` holds only where Istio's holds, `over` holds wherever Istio's does. An
ALLOW rule takes `under` and a DENY rule `over`, a negation swaps them: whatever is lost, nothing more is allowed.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from extauthz.authoring.istio_read import IstioRule, Matching
from extauthz.errors import ConfigurationError

_TRUE: Final = "true"
_FALSE: Final = "false"
_PEER: Final = "connection.uri_san_peer_certificate"
# What Envoy's path templates take for one segment (RFC 3986's pchar without `*`), and for any rest.
_SEGMENT: Final = r"[a-zA-Z0-9._~%!$&'()+,;:@=-]"
_KEYED: Final = re.compile(r"(request\.headers|request\.auth\.claims)((?:\[[^\[\]]+\])+)")
_OCTETS: Final = 4
_SPECIAL: Final = frozenset(".+*?()|[]{}$")
_BACKSLASHED: Final = {"^": r"\^", "\\": r"\\"}
_SPLIT_AT_SPACES: Final = frozenset({"scope", "permission"})
"""Claims that Istio reads as lists though they are texts."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Two CEL conditions around one of Istio's."""

    under: str
    over: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a rule's meaning depends on besides its text."""

    trust_domain: str
    hosts_without_port: bool
    """The proxy passes hosts on without port and final dot."""
    hidden_headers: frozenset[str]
    """Headers that Istio's JWT filter removes or sets before the rules see them."""


UNKNOWN: Final = Bounds(_FALSE, _TRUE)
"""What nothing can be said about."""


def exact(condition: str) -> Bounds:
    """What is the same in CEL."""
    return Bounds(condition, condition)


def negated(bounds: Bounds) -> Bounds:
    """Not this; the bounds change places."""
    return Bounds(_not(bounds.over), _not(bounds.under))


def any_of(bounds: Iterable[Bounds]) -> Bounds:
    """One of these; of none, never."""
    every = list(bounds)
    return Bounds(_or([b.under for b in every]), _or([b.over for b in every]))


def all_of(bounds: Iterable[Bounds]) -> Bounds:
    """All of these; of none, always."""
    every = list(bounds)
    return Bounds(_and([b.under for b in every]), _and([b.over for b in every]))


def _not(condition: str) -> str:
    return {_TRUE: _FALSE, _FALSE: _TRUE}.get(condition, f"!({condition})")


def _or(conditions: Sequence[str]) -> str:
    left = list(dict.fromkeys(condition for condition in conditions if condition != _FALSE))
    if _TRUE in left:
        return _TRUE
    return " || ".join(left if len(left) == 1 else map(_grouped, left)) or _FALSE


def _and(conditions: Sequence[str]) -> str:
    left = list(dict.fromkeys(condition for condition in conditions if condition != _TRUE))
    if _FALSE in left:
        return _FALSE
    return " && ".join(left if len(left) == 1 else map(_grouped, left)) or _TRUE


def _grouped(condition: str) -> str:
    return f"({condition})" if "||" in condition or "&&" in condition else condition


def rule_bounds(rule: IstioRule, circumstances: Circumstances, place: str, told: Callable[[str], None]) -> Bounds:
    """When a rule matches.

    Args:
        rule: as it was read.
        circumstances: what it depends on.
        place: of the rule, for messages.
        told: is told each attribute that has no exact equal.

    Raises:
        ConfigurationError: a pattern or an attribute is malformed.
    """

    def one(matching: Matching) -> Bounds:
        bounds = [_bounds_of(matching.key, value, circumstances, place) for value in matching.values]
        against = [_bounds_of(matching.key, value, circumstances, place) for value in matching.not_values]
        for value, each in zip((*matching.values, *matching.not_values), (*bounds, *against), strict=True):
            if each.under != each.over:
                told(f"{matching.key} {value}")
        positive = [any_of(bounds)] if bounds else []
        return all_of([*positive, *map(negated, against)])

    def alternatives(choices: Sequence[Sequence[Matching]]) -> list[Bounds]:
        return [any_of(all_of(map(one, choice)) for choice in choices)] if choices else []

    return all_of([*alternatives(rule.sources), *alternatives(rule.operations), *map(one, rule.conditions)])


def _bounds_of(key: str, value: str, circumstances: Circumstances, place: str) -> Bounds:
    if keyed := _KEYED.fullmatch(key):
        names = re.findall(r"\[([^\[\]]+)\]", keyed[2])
        if keyed[1] == "request.auth.claims":
            return exact(_claim(names, value))
        if len(names) == 1:
            return _header(names[0].lower(), value, circumstances)
    if key in _UNKNOWN_KEYS or key.startswith("experimental.envoy.filters."):
        return UNKNOWN
    read = _READERS.get(key)
    if read is None:
        raise ConfigurationError(f"{place}: Istio knows no attribute {key!r}")
    return read(value, circumstances, place)


def _port(value: str, _: Circumstances, place: str) -> Bounds:
    if not re.fullmatch("[0-9]{1,5}", value):
        raise ConfigurationError(f"{place}: {value!r} is no port")
    return exact(f"destination.port == {int(value)}")


def _namespace(value: str, *_: object) -> Bounds:
    return exact(f"{_PEER}.matches({_quoted('^.*/ns/' + _globbed(value) + '/.*$')})")


def _request_principal(value: str, *_: object) -> Bounds:
    joined = _text("(claims.iss + '/' + claims.sub)", value)
    return exact(f"'iss' in claims && 'sub' in claims && {joined}")


def _text(subject: str, pattern: str) -> str:
    """Istio's patterns of texts: a `*` alone is presence, at an end any rest, elsewhere itself."""
    if pattern == "*":
        return f"{subject} != ''"
    if pattern.endswith("*"):
        return f"{subject}.startsWith({_quoted(pattern[:-1])})"
    if pattern.startswith("*"):
        return f"{subject}.endsWith({_quoted(pattern[1:])})"
    return f"{subject} == {_quoted(pattern)}"


def _path(pattern: str, place: str) -> str:
    """On the path as it was sent, without its query: as Istio compares it."""
    if "{*}" in pattern or "{**}" in pattern:
        return f"request.path.matches({_quoted('^' + _template(pattern, place) + '(?:[?].*)?$')})"
    if pattern == "*":
        return _TRUE
    if pattern.endswith("*"):
        expression = f"^{_escaped(pattern[:-1])}"
        return f"request.path.matches({_quoted(expression + '[^?]*(?:[?].*)?$')})"
    expression = f"^[^?]*{_escaped(pattern[1:])}" if pattern.startswith("*") else f"^{_escaped(pattern)}"
    return f"request.path.matches({_quoted(expression + '(?:[?].*)?$')})"


def _template(pattern: str, place: str) -> str:
    """Envoy's path templates: {*} is one segment, {**} any rest."""
    pieces = pattern.split("/")
    if pieces[0] != "" or any(c in re.sub(r"\{\*\*?\}", "", pattern) for c in "{}*"):
        raise ConfigurationError(f"{place}: {pattern!r} is no path template: {{*}} and {{**}} are whole segments")
    known = {"{*}": f"{_SEGMENT}+", "{**}": f"(?:{_SEGMENT}|/)*"}
    return "/".join(known.get(piece) or _literal_segment(piece, pattern, place) for piece in pieces)


def _literal_segment(piece: str, pattern: str, place: str) -> str:
    if "{" in piece:
        raise ConfigurationError(f"{place}: {pattern!r} is no path template: {{*}} and {{**}} are whole segments")
    return _escaped(piece)


def _host(pattern: str, circumstances: Circumstances) -> Bounds:
    """Istio compares the authority with its port; what we have is without, in lower case, with no final dot."""
    pattern = pattern.lower()
    if pattern == "*":
        return exact(_TRUE)
    if circumstances.hosts_without_port and ":" not in pattern:
        return exact(_text("request.host", pattern))
    if pattern.startswith("*"):
        return Bounds(_FALSE, _TRUE if ":" in pattern else f"request.host.endsWith({_quoted(pattern[1:].rstrip('.'))})")
    name, colon, _ = pattern.removesuffix("*").partition(":")
    if pattern.endswith("*") and not colon:
        over = f"(request.host + '.').startsWith({_quoted(name)})"
        return Bounds(f"request.host.startsWith({_quoted(name)})", over)
    return Bounds(_FALSE, f"request.host == {_quoted(name.rstrip('.'))}")


def _header(name: str, pattern: str, circumstances: Circumstances) -> Bounds:
    if name.startswith(":") or name == "host" or name in circumstances.hidden_headers:
        return UNKNOWN
    there = f"{_quoted(name)} in request.headers"
    if pattern == "*":
        return exact(there)
    return exact(f"{there} && {_text(f'request.headers[{_quoted(name)}]', pattern)}")


def _claim(names: Sequence[str], pattern: str) -> str:
    """A text, or a list with such a text; other types never match."""
    steps, whole = [], "claims"
    for i, name in enumerate(names):
        if i:
            steps.append(f"type({whole}) == map")
        steps.append(f"{_quoted(name)} in {whole}")
        whole += f"[{_quoted(name)}]"
    listed = f"type({whole}) == list && dyn({whole}).exists(v, type(v) == string && {_text('v', pattern)})"
    text = _text(whole, pattern)
    if len(names) == 1 and names[0] in _SPLIT_AT_SPACES:
        text = f"{whole}.split(' ').exists(v, {_text('v', pattern)})"
    return " && ".join([*steps, f"((type({whole}) == string && {text}) || ({listed}))"])


def _principal(pattern: str, trust_domain: str) -> str:
    """The peer's SPIFFE ID without its scheme; `cluster.local` stands for the mesh's own trust domain, too."""
    if pattern == "*":
        return f"{_PEER} != ''"
    if pattern.startswith("*"):
        ending = _quoted(pattern[1:])
        return f"{_PEER}.startsWith('spiffe://') && {_PEER}.endsWith({ending})"
    own = re.sub(r"^cluster\.local/", lambda _: f"{trust_domain}/", pattern)
    return _or([_text(_PEER, f"spiffe://{each}") for each in dict.fromkeys((pattern, own))])


def _network(subject: str, block: str, place: str) -> Bounds:
    """IPv4 exactly, as text; of IPv6, whose texts are many, nothing is said."""
    try:
        network = ipaddress.ip_network(block, strict=False)
    except ValueError:
        raise ConfigurationError(f"{place}: {block!r} is no address and no network") from None
    if isinstance(network, ipaddress.IPv6Network):
        return UNKNOWN
    fixed, bits = divmod(network.prefixlen, 8)
    octets = list(network.network_address.packed)
    pieces = [str(octet) for octet in octets[:fixed]]
    if bits:
        pieces.append(f"(?:{'|'.join(str(n) for n in range(octets[fixed], octets[fixed] + (1 << 8 - bits)))})")
    pieces += ["[0-9]+"] * (_OCTETS - len(pieces))
    return exact(f"{subject}.matches({_quoted('^' + '[.]'.join(pieces) + ':[0-9]+$')})")


def _globbed(pattern: str) -> str:
    return ".*".join(map(_escaped, pattern.split("*")))


def _escaped(text: str) -> str:
    """The text as RE2 matches it literally."""
    return "".join(_BACKSLASHED.get(c) or (f"[{c}]" if c in _SPECIAL else c) for c in text)


def _quoted(text: str) -> str:
    """A CEL text; JSON's escapes are among CEL's, but for characters beyond the first 65536, which stay as they are."""
    return json.dumps(text, ensure_ascii=False)


_UNKNOWN_KEYS: Final = frozenset(
    {"remoteIpBlocks", "remote.ip", "serviceAccounts", "source.serviceAccount", "connection.sni"}
)
"""What conditions cannot read: which proxies are trusted is known to Istio's mesh alone."""
_Reader: TypeAlias = Callable[[str, Circumstances, str], Bounds]
_READERS: Final[Mapping[str, _Reader]] = {
    "paths": lambda value, _, place: exact(_path(value, place)),
    "methods": lambda value, _, __: exact(_text("request.method", value)),
    "hosts": lambda value, circumstances, _: _host(value, circumstances),
    "ports": _port,
    "destination.port": _port,
    "principals": lambda value, circumstances, _: exact(_principal(value, circumstances.trust_domain)),
    "source.principal": lambda value, circumstances, _: exact(_principal(value, circumstances.trust_domain)),
    "namespaces": _namespace,
    "source.namespace": _namespace,
    "requestPrincipals": _request_principal,
    "request.auth.principal": _request_principal,
    "request.auth.audiences": lambda value, _, __: exact(_claim(["aud"], value)),
    "request.auth.presenter": lambda value, _, __: exact(_claim(["azp"], value)),
    "ipBlocks": lambda value, _, place: _network("source.address", value, place),
    "source.ip": lambda value, _, place: _network("source.address", value, place),
    "destination.ip": lambda value, _, place: _network("destination.address", value, place),
}
