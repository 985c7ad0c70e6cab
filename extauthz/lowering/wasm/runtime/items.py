"""CEL's macros `exists` and `all` over a list: what is asked of each item is a function of the policy set's."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import invoke, load8, load32, store32
from extauthz.lowering.wasm.runtime.layout import ERROR, LEFT, Cell, Kind
from extauthz.lowering.wasm.runtime.memory import address_of, boolean, kind_of, length_of, make_text
from extauthz.lowering.wasm.runtime.protobuf import find_field, next_element, read_length, read_value
from extauthz.lowering.wasm.runtime.values import both, claim, crossing, crossing_text, either


def part_of_entry(entry: int, end: int, wanted: int) -> int:
    """The field of an entry of a map that has this tag: a text, empty when it is absent."""
    for _ in range(2):
        if entry >= end:
            break
        tag = load8(entry)
        length = read_length(entry + 1, end)
        if length < 0:
            break
        content = load32(Cell.CURSOR)
        if tag == wanted:
            return make_text(content, length)
        entry = content + length
    return make_text(end, 0)


def crossing_object(map_value: int) -> int:
    """An object of texts and scalars as the authorizer lets it cross into CEL; any other is left."""
    position = address_of(map_value)
    end = position + length_of(map_value)
    outcome = map_value
    for _ in range(length_of(map_value)):
        if position >= end:
            break
        length = read_length(position + 1, end)
        if length < 0 or load8(position) != 0x0A:
            return LEFT
        entry = load32(Cell.CURSOR)
        position = entry + length
        raw = part_of_entry(entry, position, 0x12)
        key = crossing_text(part_of_entry(entry, position, 0x0A))
        value = crossing(read_value(address_of(raw), length_of(raw)))
        if ERROR in {key, value}:
            return ERROR
        if LEFT in {key, value} or kind_of(value) == Kind.LIST:
            outcome = LEFT
    return outcome


def claimed_items(path: int) -> int:
    """A claim whose items are asked: a list of texts, scalars, and objects of these; any other list is left."""
    value = claim(path)
    if value in {0, LEFT} or kind_of(value) != Kind.LIST:
        return ERROR if value == 0 else crossing(value)
    position = address_of(value)
    end = position + length_of(value)
    outcome = value
    for _ in range(length_of(value)):
        if position >= end:
            break
        element = next_element(position, end)
        position = load32(Cell.CURSOR)
        kind = kind_of(element)
        element = crossing_object(element) if kind == Kind.MAP else crossing(element)
        if element == ERROR:
            return ERROR
        if element == LEFT or kind == Kind.LIST:
            outcome = LEFT
    return outcome


def item_field(key: int) -> int:
    """`m.key` of the item that is asked: an error when it is absent, or the item is no object."""
    item = load32(Cell.ITEM)
    if kind_of(item) != Kind.MAP:
        return ERROR
    found = find_field(item, key)
    return found if found != 0 else ERROR


def has_item_field(key: int) -> int:
    """`has(m.key)`."""
    item = load32(Cell.ITEM)
    return boolean(find_field(item, key) != 0) if kind_of(item) == Kind.MAP else ERROR


def ask_items(items: int, question: int, all_of: int) -> int:
    """`exists`, or `all`: an item that errs is passed over when another decides. A map, which has keys, is left."""
    if items in {ERROR, LEFT}:
        return items
    if kind_of(items) != Kind.LIST:
        return LEFT if kind_of(items) == Kind.MAP else ERROR
    outer = load32(Cell.ITEM)
    position = address_of(items)
    end = position + length_of(items)
    outcome = boolean(all_of)
    for _ in range(length_of(items)):
        if position >= end or outcome == boolean(not all_of):
            break
        item = next_element(position, end)
        position = load32(Cell.CURSOR)
        store32(Cell.ITEM, item)
        answer = LEFT if item == LEFT else invoke(question)
        outcome = both(outcome, answer) if all_of else either(outcome, answer)
    store32(Cell.ITEM, outer)
    return outcome
