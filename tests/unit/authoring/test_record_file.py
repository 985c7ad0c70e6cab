import pytest

from extauthz.authoring.record import record_line
from extauthz.authoring.record_file import RecordFile
from extauthz.errors import ConfigurationError
from tests.records import record

LINE = record_line(record()).encode()


def read(*lines: bytes):
    file = RecordFile("log.jsonl")
    return file, list(file.read(lines))


def test_records_with_their_lines():
    """And how far the file was read; a last line without its break is whole."""
    file, found = read(LINE, LINE, LINE.rstrip(b"\n"))
    assert [number for number, _ in found] == [1, 2, 3]
    assert (file.records, file.bytes_read, file.is_cut_off) == (3, len(LINE) * 3 - 1, False)


@pytest.mark.parametrize("end", [1, 50, len(LINE) - 2])
def test_a_last_line_that_is_cut_off_is_left_out(end):
    """Its writer was stopped; the rest is used."""
    file, found = read(LINE, LINE[:end])
    assert len(found) == 1
    assert file.is_cut_off


def test_a_line_that_is_cut_off_within_a_character():
    """The same."""
    cut = record_line(record("/orders/7")).replace("orders/7", "é").encode().partition(b"\xa9")[0]
    file, found = read(LINE, cut)
    assert (len(found), file.is_cut_off) == (1, True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((LINE, b'{"version" 1}\n', LINE), "log.jsonl:2:12: not JSON: "),
        ((LINE, b"\xff\n"), "log.jsonl:2:1: not UTF-8"),
        ((b'{"version"',), "log.jsonl:1:11: not JSON: "),
        ((LINE, b"\n"), "log.jsonl:2:1: not JSON: "),
        ((LINE, LINE.replace(b'"version":1', b'"version":7')), "log.jsonl:2:12: records of version 1 are read"),
        ((LINE.replace(b'"shop.example"', b"17"),), "log.jsonl:1:162: text is needed here"),
        ((), "log.jsonl holds no records: name a file that `serve --record` wrote"),
    ],
)
def test_what_is_no_record_is_told_with_its_place(lines, message):
    """File, line and column."""
    with pytest.raises(ConfigurationError) as caught:
        read(*lines)
    assert str(caught.value).startswith(message)


def test_the_column_is_that_of_the_member():
    """However deep."""
    line = LINE.replace(b'"effect":"allow"', b'"effect":"permit"')
    with pytest.raises(ConfigurationError) as caught:
        read(line)
    assert str(caught.value).startswith(f"log.jsonl:1:{line.index(b'permit')}: ")
