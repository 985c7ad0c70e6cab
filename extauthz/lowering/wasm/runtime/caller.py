"""Who sends a request: what the filter in front of the module has written down, and what a token asserts."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import NOT_FOUND, OK, load32, proxy_get_property, store32
from extauthz.lowering.wasm.runtime.layout import FALSE, LEFT, TRUE, Cell, Configured, Kind, Word
from extauthz.lowering.wasm.runtime.memory import (
    address_of,
    boolean,
    find_octet,
    is_text,
    kind_of,
    length_of,
    make_text,
    texts_equal,
)
from extauthz.lowering.wasm.runtime.protobuf import find_entry, find_field, next_element
from extauthz.lowering.wasm.runtime.values import claim, either

PROVIDER_BYTES = 12


def read_property(path: int) -> int:
    """An attribute of the request as a text: 0 when it is absent, -1 when the host has failed."""
    status = proxy_get_property(address_of(path), length_of(path), Cell.HOST_ADDRESS, Cell.HOST_LENGTH)
    if status == NOT_FOUND:
        return 0
    return make_text(load32(Cell.HOST_ADDRESS), load32(Cell.HOST_LENGTH)) if status == OK else -1


def metadata_of(namespace: int) -> int:
    """What a filter has written into the dynamic metadata, as a map; 0 when there is none."""
    metadata = load32(Cell.METADATA)
    if metadata == 0:
        return 0
    found = find_entry(address_of(metadata), address_of(metadata) + length_of(metadata), namespace)
    if found <= 0:
        return 0
    store32(found, Kind.MAP)
    return found


def read_claims(payload_key: int) -> int:
    """Put the payload of a token into its cell; 0 when there is none."""
    payloads = metadata_of(Word.TOKENS)
    if payloads == 0:
        return 0
    payload = find_field(payloads, payload_key)
    if payload == 0 or kind_of(payload) != Kind.MAP:
        return 0
    store32(Cell.CLAIMS, payload)
    return 1


def read_caller() -> int:
    """Which kind of caller it is: 0 for nobody, a provider's number from 1 on, -1 when that is not known here."""
    metadata = read_property(Word.METADATA)
    if metadata <= 0:
        return -1
    store32(Cell.METADATA, metadata)
    classified = metadata_of(Word.CALLERS)
    if classified == 0:
        return -1
    caller = find_field(classified, Word.CALLER_KEY)
    if caller == 0 or kind_of(caller) != Kind.TEXT:
        return -1
    providers = load32(Configured.PROVIDERS)
    for number in range(load32(providers)):
        provider = providers + 4 + number * PROVIDER_BYTES
        if texts_equal(caller, load32(provider)):
            return number if number == 0 or read_claims(load32(provider + 4)) else -1
    return -1


def is_listed(address: int, length: int, texts: int) -> int:
    """Whether the octets are one of some texts: how many they are, then each."""
    for number in range(load32(texts)):
        if is_text(address, length, load32(texts + 4 + (number << 2))):
            return 1
    return 0


def has_word(text: int, texts: int) -> int:
    """Whether one of the words of a text, between spaces (RFC 8693 section 4.2), is one of some texts."""
    position = address_of(text)
    end = position + length_of(text)
    for _ in range(length_of(text) + 1):
        length = find_octet(position, end - position, ord(" "))
        if length > 0 and is_listed(position, length, texts):
            return 1
        position += length + 1
        if position > end:
            break
    return 0


def asserts(path: int, texts: int, in_words: int) -> int:
    """Whether the claim at a path is one of some texts, or a list that holds one; a lone text may be of words."""
    value = claim(path)
    if value == 0:
        return FALSE
    kind = kind_of(value)
    if kind == Kind.NULL:
        return FALSE
    if kind == Kind.TEXT:
        if in_words:
            return boolean(has_word(value, texts))
        return boolean(is_listed(address_of(value), length_of(value), texts))
    if kind != Kind.LIST:
        return LEFT  # the classifying filter lets no such token through
    position = address_of(value)
    end = position + length_of(value)
    outcome = FALSE
    for _ in range(length_of(value)):
        if position >= end:
            break
        element = next_element(position, end)
        position = load32(Cell.CURSOR)
        if kind_of(element) != Kind.TEXT:
            return LEFT
        outcome = either(outcome, boolean(is_listed(address_of(element), length_of(element), texts)))
    return outcome


def subject(path: int) -> int:
    """The caller's subject, which the classifying filter has found to be a text."""
    value = claim(path)
    return value if value != 0 and kind_of(value) == Kind.TEXT else LEFT


def is_subject(path: int, texts: int) -> int:
    value = subject(path)
    return LEFT if value == LEFT else boolean(is_listed(address_of(value), length_of(value), texts))


def is_below(identity: int, prefix: int) -> int:
    """Whether an identity begins with the prefix, and goes on."""
    if length_of(identity) <= length_of(prefix):
        return 0
    return is_text(address_of(identity), length_of(prefix), prefix)


def workload(trust_domains: int) -> int:
    """The mTLS peer's SPIFFE ID (SPIFFE-ID section 2): 0 unless its trust domain is one of ours, -1 on a failure.

    A trust domain is written `spiffe://domain/`.
    """
    identity = read_property(Word.PEER_URI)
    if identity <= 0:
        return identity
    for number in range(load32(trust_domains)):
        if is_below(identity, load32(trust_domains + 4 + (number << 2))):
            return identity
    return 0


def is_workload(trust_domains: int, exact: int, below: int) -> int:
    """Whether the peer is one of some workloads, or is below one of some prefixes."""
    identity = workload(trust_domains)
    if identity <= 0:
        return LEFT if identity < 0 else FALSE
    if is_listed(address_of(identity), length_of(identity), exact):
        return TRUE
    for number in range(load32(below)):
        if is_below(identity, load32(below + 4 + (number << 2))):
            return TRUE
    return FALSE
