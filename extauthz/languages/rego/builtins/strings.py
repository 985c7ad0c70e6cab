"""Strings. Positions and lengths count code points."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from extauthz.languages.rego.builtins.go_format import go_format, rego_text
from extauthz.languages.rego.builtins.registry import Registry, array, integer, number, object_, text, texts
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import truncated
from extauthz.languages.rego.value import RegoSet, Value, object_items, type_name

STRINGS = Registry()

_CHARACTERS_PER_STEP = 64
"""Characters that a built-in may write for one step of the budget: about what a step of a loop costs."""

_GO_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Unicode calls white space; Python strips a few controls besides."""


def spend_on_text(evaluation: Evaluation, length: int) -> None:
    """Pay for a text of this length before it is made."""
    evaluation.spend(length // _CHARACTERS_PER_STEP)


@STRINGS.add("startswith", 2)
def startswith(string: Value, prefix: Value) -> bool:
    return text(string, 1).startswith(text(prefix, 2))


@STRINGS.add("endswith", 2)
def endswith(string: Value, suffix: Value) -> bool:
    return text(string, 1).endswith(text(suffix, 2))


@STRINGS.add("contains", 2)
def contains(haystack: Value, needle: Value) -> bool:
    return text(needle, 2) in text(haystack, 1)


@STRINGS.add("lower", 1)
def lower(string: Value) -> str:
    """Letter by letter, as Go does: no letter becomes several."""
    given = text(string, 1)
    return given.lower() if given.isascii() else "".join(letter.lower()[:1] for letter in given)


@STRINGS.add("upper", 1)
def upper(string: Value) -> str:
    """Letter by letter, as Go does: one that would become several stays."""
    given = text(string, 1)
    if given.isascii():
        return given.upper()
    return "".join(new if len(new := letter.upper()) == 1 else letter for letter in given)


@STRINGS.add("concat", 2, stateful=True)
def concat(evaluation: Evaluation, delimiter: Value, strings: Value) -> str:
    joint, parts = text(delimiter, 1), texts(strings, 2)
    spend_on_text(evaluation, sum(map(len, parts)) + len(joint) * len(parts))
    return joint.join(parts)


@STRINGS.add("split", 2)
def split(string: Value, delimiter: Value) -> list[str]:
    whole, joint = text(string, 1), text(delimiter, 2)
    return whole.split(joint) if joint else list(whole)


@STRINGS.add("strings.split_n", 3)
def split_n(string: Value, delimiter: Value, count: Value) -> list[str]:
    """The first pieces, or with a negative count the last ones."""
    whole, joint, wanted = text(string, 1), text(delimiter, 2), integer(count, 3)
    pieces = whole.split(joint) if joint else list(whole)
    if wanted < 0:
        return pieces[wanted:]
    return pieces[:wanted]


@STRINGS.add("replace", 3, stateful=True)
def replace(evaluation: Evaluation, string: Value, old: Value, new: Value) -> str:
    whole, pattern, instead = text(string, 1), text(old, 2), text(new, 3)
    spend_on_text(evaluation, len(whole) + (whole.count(pattern)) * len(instead))
    return whole.replace(pattern, instead)


@STRINGS.add("strings.replace_n", 2, stateful=True)
def replace_n(evaluation: Evaluation, patterns: Value, string: Value) -> str:
    """At each position the first pattern, in their order, that matches there."""
    pairs: list[tuple[str, str]] = []
    for key, value in object_items(object_(patterns, 1)):
        if type(key) is not str or type(value) is not str:
            raise BuiltinError("operand 1 must be an object of strings")
        pairs.append((key, value))
    whole, table = text(string, 2), dict(pairs)
    if not table:
        return whole
    spend_on_text(evaluation, len(whole) + (len(whole) + 1) * max(map(len, table.values())))
    # Keys come in order, so of two that match the one that is a prefix of the other would win, as it does in Go.
    return re.sub("|".join(map(re.escape, table)), lambda match: table[match.group()], whole)


@STRINGS.add("substring", 3)
def substring(string: Value, offset: Value, length: Value) -> str:
    whole, start, count = text(string, 1), integer(offset, 2), integer(length, 3)
    if start < 0:
        raise BuiltinError("negative offset")
    return whole[start:] if count < 0 else whole[start : start + count]


@STRINGS.add("indexof", 2)
def indexof(haystack: Value, needle: Value) -> int:
    whole, part = text(haystack, 1), text(needle, 2)
    if not part:
        raise BuiltinError("empty search character")
    return whole.find(part)


@STRINGS.add("indexof_n", 2)
def indexof_n(haystack: Value, needle: Value) -> list[int]:
    """Every position, overlapping ones included."""
    whole, part = text(haystack, 1), text(needle, 2)
    if not part:
        raise BuiltinError("empty search character")
    return [match.start() for match in re.finditer(f"(?={re.escape(part)})", whole)]


@STRINGS.add("strings.count", 2)
def strings_count(string: Value, part: Value) -> int:
    return text(string, 1).count(text(part, 2))


@STRINGS.add("strings.reverse", 1)
def strings_reverse(string: Value) -> str:
    return text(string, 1)[::-1]


@STRINGS.add("trim", 2)
def trim(string: Value, cutset: Value) -> str:
    return _stripped(text(string, 1), text(cutset, 2), str.strip)


@STRINGS.add("trim_left", 2)
def trim_left(string: Value, cutset: Value) -> str:
    return _stripped(text(string, 1), text(cutset, 2), str.lstrip)


@STRINGS.add("trim_right", 2)
def trim_right(string: Value, cutset: Value) -> str:
    return _stripped(text(string, 1), text(cutset, 2), str.rstrip)


def _stripped(string: str, cutset: str, strip: Callable[[str, str], str]) -> str:
    return strip(string, cutset) if cutset else string


@STRINGS.add("trim_prefix", 2)
def trim_prefix(string: Value, prefix: Value) -> str:
    return text(string, 1).removeprefix(text(prefix, 2))


@STRINGS.add("trim_suffix", 2)
def trim_suffix(string: Value, suffix: Value) -> str:
    return text(string, 1).removesuffix(text(suffix, 2))


@STRINGS.add("trim_space", 1)
def trim_space(string: Value) -> str:
    return text(string, 1).strip(_GO_SPACE)


_BASES = {2: "b", 8: "o", 10: "d", 16: "x"}


@STRINGS.add("format_int", 2)
def format_int(value: Value, base: Value) -> str:
    """The integer part in base 2, 8, 10 or 16."""
    whole, radix = truncated(number(value, 1)), number(base, 2)
    if radix not in _BASES:
        raise BuiltinError("operand 2 must be one of {2, 8, 10, 16}")
    return format(whole, _BASES[int(radix)])


@STRINGS.add("sprintf", 2, stateful=True)
def sprintf(evaluation: Evaluation, template: Value, values: Value) -> str:
    result = go_format(text(template, 1), array(values, 2))
    spend_on_text(evaluation, len(result))
    return result


@STRINGS.add("internal.template_string", 1, stateful=True)
def template_string(evaluation: Evaluation, parts: Value) -> str:
    """A `$"..."` literal: texts as they are, and an expression's value in a set that is empty if it is undefined."""
    pieces: list[str] = []
    for part in array(parts, 1):
        if type(part) is RegoSet:
            if len(part) > 1:
                raise BuiltinError("template-strings must not produce multiple outputs")
            pieces += [_plain(value) for value in part] or ["<undefined>"]
        else:
            pieces.append(_plain(part))
    spend_on_text(evaluation, sum(map(len, pieces)))
    return "".join(pieces)


def _plain(value: Value) -> str:
    return value if type(value) is str else rego_text(value)


def _any_match(strings: Value, parts: Value, matches: Callable[[str, str], bool]) -> bool:
    ends = [parts] if type(parts) is str else _search_texts(parts, 2)
    wholes = [strings] if type(strings) is str else _search_texts(strings, 1)
    return any(matches(whole, end) for whole in wholes for end in ends)


def _search_texts(value: Value, position: int) -> Iterable[str]:
    if type(value) not in {list, RegoSet}:
        raise BuiltinError(f"operand {position} must be one of {{string, set, array}} but got {type_name(value)}")
    return texts(value, position)


@STRINGS.add("strings.any_prefix_match", 2)
def any_prefix_match(strings: Value, prefixes: Value) -> bool:
    return _any_match(strings, prefixes, str.startswith)


@STRINGS.add("strings.any_suffix_match", 2)
def any_suffix_match(strings: Value, suffixes: Value) -> bool:
    return _any_match(strings, suffixes, str.endswith)
