"""Regular expressions and globs, in time linear in the text: RE2 matches both, as Go's own library would."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import re2

from extauthz.languages.rego.builtins.registry import Registry, array, integer, text
from extauthz.languages.rego.builtins.strings import spend_on_text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import Value, type_name

REGEXES = Registry()

_MAX_PATTERN = 65_536
"""Characters of a pattern."""

_CACHED = 1_024


@functools.lru_cache(maxsize=_CACHED)
def compiled(pattern: str) -> Any:
    """A pattern ready to match.

    Raises:
        BuiltinError: it is none, or too large.
    """
    if len(pattern) > _MAX_PATTERN:
        raise BuiltinError("a pattern that is too large")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise BuiltinError("not a regular expression") from None


def _matches(pattern: str, subject: str) -> Iterator[Any]:
    """All matches as Go has them: an empty one right after another match does not count."""
    end = -1
    for match in compiled(pattern).finditer(_encodable(subject)):
        if match.start() == match.end() == end:
            continue
        end = match.end()
        yield match


def _encodable(subject: str) -> str:
    """What is no Unicode text matches nothing: RE2 takes UTF-8 alone."""
    if subject.isascii():
        return subject
    try:
        subject.encode()
    except UnicodeEncodeError:
        raise BuiltinError("a string that is no Unicode text") from None
    return subject


def _limited(matches: Iterator[Any], limit: Value) -> list[Any]:
    count = integer(limit, 3)
    if count < 0:
        return list(matches)
    return [match for _, match in zip(range(count), matches, strict=False)]


@REGEXES.add("regex.is_valid", 1, total=True)
def regex_is_valid(pattern: Value) -> bool:
    if type(pattern) is not str:
        return False
    try:
        compiled(pattern)
    except BuiltinError:
        return False
    return True


@REGEXES.add("re_match", 2)
@REGEXES.add("regex.match", 2)
def regex_match(pattern: Value, subject: Value) -> bool:
    return compiled(text(pattern, 1)).search(_encodable(text(subject, 2))) is not None


@REGEXES.add("regex.split", 2)
def regex_split(pattern: Value, subject: Value) -> list[str]:
    """As Go: an empty match at the beginning or the end does not split."""
    whole = text(subject, 2)
    if not whole:
        return [] if text(pattern, 1) == "" else [""]
    pieces: list[str] = []
    start = 0
    for match in _matches(text(pattern, 1), whole):
        if match.end() == 0 or match.start() == match.end() == len(whole):
            continue
        pieces.append(whole[start : match.start()])
        start = match.end()
    return [*pieces, whole[start:]]


@REGEXES.add("regex.find_n", 3)
def regex_find_n(pattern: Value, subject: Value, limit: Value) -> list[str]:
    return [match.group() for match in _limited(_matches(text(pattern, 1), text(subject, 2)), limit)]


@REGEXES.add("regex.find_all_string_submatch_n", 3)
def regex_find_all_string_submatch_n(pattern: Value, subject: Value, limit: Value) -> list[list[str]]:
    """Each match with its groups; one that took no part is empty."""
    found = _limited(_matches(text(pattern, 1), text(subject, 2)), limit)
    return [[match.group(), *(group or "" for group in match.groups())] for match in found]


_REFERENCE = re.compile(r"\$(?:\$|\{(?P<braced>[^}]*)\}|(?P<name>\w+))")


@REGEXES.add("regex.replace", 3, stateful=True)
def regex_replace(evaluation: Evaluation, subject: Value, pattern: Value, replacement: Value) -> str:
    """In the replacement `$1`, `$name` and `${name}` stand for groups, `$$` for a dollar."""
    whole, template = text(subject, 1), text(replacement, 3)
    pieces: list[str] = []
    start = 0
    for match in _matches(text(pattern, 2), whole):
        expanded = _expanded(template, match)
        spend_on_text(evaluation, match.start() - start + len(expanded))
        pieces += [whole[start : match.start()], expanded]
        start = match.end()
    return "".join([*pieces, whole[start:]])


def _expanded(template: str, match: Any) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference["braced"] if reference["braced"] is not None else reference["name"]
        if name is None:
            return "$"
        if name.isascii() and name.isdigit():
            number = int(name[:6])
            return match.group(number) or "" if number <= match.re.groups else ""
        return match.group(name) or "" if name in match.re.groupindex else ""

    return _REFERENCE.sub(group, template)


@REGEXES.add("regex.template_match", 4)
def regex_template_match(template: Value, subject: Value, start: Value, end: Value) -> bool:
    """A text with regular expressions between delimiters, as in `urn:{.*}`."""
    opening, closing = text(start, 3), text(end, 4)
    if len(opening) != 1 or len(closing) != 1:
        raise BuiltinError("a delimiter has to be exactly one character long")
    return compiled(_template(text(template, 1), opening, closing)).search(_encodable(text(subject, 2))) is not None


def _template(template: str, opening: str, closing: str) -> str:
    pieces: list[str] = []
    level = begin = end = 0
    for position, letter in enumerate(template):
        if letter == opening:
            level += 1
            if level == 1:
                begin = position
        elif letter == closing:
            level -= 1
            if level < 0:
                break
            if level == 0:
                inner = template[begin + 1 : position]
                compiled(f"^{inner}$")
                pieces += [re2.escape(template[end:begin]), f"({inner})"]
                end = position + 1
    if level:
        raise BuiltinError("unbalanced braces")
    return f"^{''.join(pieces)}{re2.escape(template[end:])}$"


# --- Globs ---------------------------------------------------------------------------------------------------------


@REGEXES.add("glob.match", 3)
def glob_match(pattern: Value, delimiters: Value, subject: Value) -> bool:
    """`*` stops at delimiters, `.` unless others are given; with null at none."""
    separators = "" if delimiters is None else "".join(map(_letter, array(delimiters, 2))) or "."
    return compiled(_glob(text(pattern, 1), separators)).fullmatch(_encodable(text(subject, 3))) is not None


def _letter(value: Value) -> str:
    if type(value) is not str or len(value) != 1:
        raise BuiltinError(f"operand 2 must be array of runes but got array containing {type_name(value)}")
    return value


@functools.lru_cache(maxsize=_CACHED)
def _glob(pattern: str, separators: str) -> str:
    """A glob as a regular expression.

    Raises:
        BuiltinError: its brackets or braces do not close.
    """
    one = "[^" + "".join(map(_class_letter, separators)) + "]" if separators else "(?s:.)"
    pieces: list[str] = []
    position = depth = 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "\\" and position < len(pattern):
            pieces.append(re2.escape(pattern[position]))
            position += 1
        elif letter == "*":
            stars = 1 + len(pattern[position:]) - len(pattern[position:].lstrip("*"))
            position += stars - 1
            pieces.append("(?s:.*)" if stars > 1 else f"{one}*")
        elif letter == "?":
            pieces.append(one)
        elif letter == "[":
            end = pattern.find("]", position + 1)
            if end < 0:
                raise BuiltinError("a glob with an unclosed bracket")
            pieces.append(_glob_class(pattern[position:end]))
            position = end + 1
        elif letter == "{":
            depth += 1
            pieces.append("(?:")
        elif letter == "}" and depth:
            depth -= 1
            pieces.append(")")
        elif letter == "," and depth:
            pieces.append("|")
        else:
            pieces.append(re2.escape(letter))
    if depth:
        raise BuiltinError("a glob with an unclosed brace")
    return "".join(pieces)


def _glob_class(inner: str) -> str:
    negated = inner.startswith("!")
    letters = inner[1:] if negated else inner
    if len(letters) == 3 and letters[1] == "-":
        if letters[0] > letters[2]:
            raise BuiltinError("a glob with a range out of order")
        body = f"{_class_letter(letters[0])}-{_class_letter(letters[2])}"
    else:
        body = "".join(map(_class_letter, letters.replace("\\", "")))
    return f"[{'^' if negated else ''}{body}]"


def _class_letter(letter: str) -> str:
    return "\\" + letter if letter in "\\]^-[&~" else letter


_GLOB_SPECIAL = re.compile(r"[\\?*\[\]{},]")


@REGEXES.add("glob.quote_meta", 1)
def glob_quote_meta(pattern: Value) -> str:
    return _GLOB_SPECIAL.sub(lambda match: "\\" + match.group(), text(pattern, 1))


# --- Do two patterns have a text in common? ------------------------------------------------------------------------


@REGEXES.add("regex.globs_match", 2, stateful=True)
def regex_globs_match(evaluation: Evaluation, left: Value, right: Value) -> bool:
    """Whether some non-empty text matches both; patterns are letters, `.`, `[a-z]`, each with `*` or `+`."""
    one, other = _tokens(text(left, 1)), _tokens(text(right, 2))
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        evaluation.spend(1)
        i, j = state
        if i == len(one) and j == len(other):
            return True
        waiting += [(i + 1, j)] if i < len(one) and one[i][1] == "*" else []
        waiting += [(i, j + 1)] if j < len(other) and other[j][1] == "*" else []
        if i < len(one) and j < len(other) and _share(one[i][0], other[j][0]):
            steps_i = [i + 1] if not one[i][1] else [i, i + 1]
            steps_j = [j + 1] if not other[j][1] else [j, j + 1]
            waiting += [(a, b) for a in steps_i for b in steps_j]
    return False


_Token = tuple[frozenset[str] | None, str]
"""The letters it takes, None for any, and `*`, `+` or nothing."""

_TOKEN = re.compile(
    r"(?:(?P<dot>\.)|\[(?P<set>(?:\\.|[^\]\\])*)\]|\\(?P<escaped>.)|(?P<letter>[^\[\]*+\\]))(?P<flag>[*+]?)", re.DOTALL
)


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        if match is None:
            raise BuiltinError("the input provided is invalid")
        position = match.end()
        if match["dot"]:
            letters = None
        elif match["set"] is not None:
            letters = _set_letters(match["set"])
        else:
            letters = frozenset(match["escaped"] or match["letter"])
        tokens.append((letters, match["flag"]))
    return tokens


def _set_letters(inner: str) -> frozenset[str]:
    letters: set[str] = set()
    for piece in re.finditer(r"(?P<first>\\.|[^-\\])(?:-(?P<last>\\.|[^-\\]))?|(?P<bad>.)", inner, re.DOTALL):
        if piece["bad"]:
            raise BuiltinError("the input provided is invalid")
        first, last = piece["first"][-1], (piece["last"] or piece["first"])[-1]
        if first > last:
            raise BuiltinError("the input provided is invalid")
        letters.update(map(chr, range(ord(first), ord(last) + 1)))
    return frozenset(letters)


def _share(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or not one.isdisjoint(other)
