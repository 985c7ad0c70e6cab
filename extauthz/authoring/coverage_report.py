"""Coverage for editors and CI: the marked source of a policy, and LCOV tracefiles (geninfo(1))."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from extauthz.authoring.coverage import Item

SEEN, PARTLY, MISSED, NOTHING = "+", "~", "-", " "


def by_line(items: Iterable[Item]) -> dict[str, dict[int, list[Item]]]:
    """The items of each file and line; those without a place are left out."""
    places: dict[str, dict[int, list[Item]]] = {}
    for item in items:
        if item.span is not None:
            places.setdefault(item.span.file, {}).setdefault(item.span.line, []).append(item)
    return places


def marked_source(text: str, lines: Mapping[int, Sequence[Item]]) -> Iterator[tuple[str, int, str, str]]:
    """Each line of a file: its mark, its number, its text, and what its tests lack.

    Marks: `+` all outcomes were seen, `~` some, `-` none, a space where there is nothing to see.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        items = lines.get(number, ())
        lacks = "; ".join(f"{item.name}: never {' or '.join(item.missing)}" for item in items if item.missing)
        yield _mark(items), number, line, lacks


def _mark(items: Sequence[Item]) -> str:
    wanted = sum(len(item.wanted) for item in items)
    missing = sum(len(item.missing) for item in items)
    if not wanted:
        return NOTHING
    return SEEN if not missing else MISSED if missing == wanted else PARTLY


def lcov(items: Iterable[Item]) -> str:
    """A tracefile: a line counts how often anything on it was exercised, each outcome to see is a branch."""
    return "".join(f"{record}\n" for path, lines in sorted(by_line(items).items()) for record in _file(path, lines))


def _file(path: str, lines: Mapping[int, Sequence[Item]]) -> Iterator[str]:
    yield "TN:"
    yield f"SF:{path}"
    branches = [
        (line, block, branch, item.seen[outcome], bool(item.seen))
        for line, items in sorted(lines.items())
        for block, item in enumerate(items)
        for branch, outcome in enumerate(item.wanted)
    ]
    for line, block, branch, count, evaluated in branches:
        yield f"BRDA:{line},{block},{branch},{count if evaluated else '-'}"
    yield f"BRF:{len(branches)}"
    yield f"BRH:{sum(count > 0 for *_, count, _ in branches)}"
    counts = {line: sum(sum(item.seen.values()) for item in items) for line, items in sorted(lines.items())}
    yield from (f"DA:{line},{count}" for line, count in counts.items())
    yield f"LF:{len(counts)}"
    yield f"LH:{sum(count > 0 for count in counts.values())}"
    yield "end_of_record"
