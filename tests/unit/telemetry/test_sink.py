import os
import stat
import threading
from pathlib import Path

import pytest

from extauthz.telemetry.sink import DescriptorSink, FileSink, Rotation, rotate, write_all


def test_a_file_is_appended_to_and_not_for_everybody(tmp_path):
    """Owner and group."""
    path = tmp_path / "decisions.log"
    for text in (b"a\n", b"b\n"):
        sink = FileSink(str(path))
        sink.write(text)
        sink.close()
    assert path.read_bytes() == b"a\nb\n"
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_a_rotated_file_is_opened_anew(tmp_path):
    """By its name, without a signal."""
    path = tmp_path / "decisions.log"
    sink = FileSink(str(path))
    sink.write(b"a\n")
    path.rename(tmp_path / "decisions.log.1")
    sink.write(b"b\n")
    sink.write(b"c\n")
    sink.close()
    assert path.read_bytes() == b"b\nc\n"
    assert (tmp_path / "decisions.log.1").read_bytes() == b"a\n"


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path):
    """Not when the first decision is to be written."""
    with pytest.raises(FileNotFoundError):
        FileSink(str(tmp_path / "none" / "decisions.log"))


def test_everything_is_written_through_a_pipe():
    """A pipe takes a part at once."""
    reading, writing = os.pipe()
    data = b"x" * 1_000_000
    received = bytearray()

    def read():
        while part := os.read(reading, 65536):
            received.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    sink = DescriptorSink(writing)
    sink.write(data)
    sink.close()
    write_all(writing, b"")
    os.close(writing)
    reader.join()
    os.close(reading)
    assert received == data


def test_a_file_is_put_aside_before_it_grows_too_large(tmp_path):
    """Whole writes stay together, the newest is `.1`, the oldest go."""
    path = tmp_path / "decisions.log"
    sink = FileSink(str(path), Rotation(max_bytes=8, keep=2))
    for number in range(9):
        sink.write(b"%03d\n" % number)
    sink.close()
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        "decisions.log": b"008\n",
        "decisions.log.1": b"006\n007\n",
        "decisions.log.2": b"004\n005\n",
    }


def test_a_write_larger_than_the_limit_has_a_file_of_its_own(tmp_path):
    """It is not cut, and no empty file is put aside for it."""
    path = tmp_path / "decisions.log"
    sink = FileSink(str(path), Rotation(max_bytes=8, keep=2))
    sink.write(b"a" * 20 + b"\n")
    sink.write(b"b\n")
    sink.close()
    assert path.read_bytes() == b"b\n"
    assert (tmp_path / "decisions.log.1").read_bytes() == b"a" * 20 + b"\n"
    assert not (tmp_path / "decisions.log.2").exists()


def test_what_an_earlier_process_wrote_counts(tmp_path):
    """A restart does not begin to count anew."""
    path = tmp_path / "decisions.log"
    path.write_bytes(b"1234567\n")
    sink = FileSink(str(path), Rotation(max_bytes=8, keep=1))
    sink.write(b"a\n")
    sink.close()
    assert (path.read_bytes(), (tmp_path / "decisions.log.1").read_bytes()) == (b"a\n", b"1234567\n")


def test_gaps_among_the_kept_files_are_no_failure(tmp_path):
    """Somebody has removed one, or all."""
    path = tmp_path / "x.log"
    rotate(str(path), 3)
    path.write_bytes(b"new")
    (tmp_path / "x.log.2").write_bytes(b"old")
    rotate(str(path), 3)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"x.log.1": b"new", "x.log.3": b"old"}


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    """What was written of it is taken back, so that the next line that fits is read as one."""
    path = tmp_path / "decisions.log"
    sink = FileSink(str(path))
    sink.write(b"first\n")
    real = os.write

    def fill(descriptor, data):
        if len(data) > 3:
            return real(descriptor, data[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fill)
        with pytest.raises(OSError, match="No space left"):
            sink.write(b"second\n")
    sink.write(b"third\n")
    sink.close()
    assert path.read_bytes() == b"first\nthird\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_takes_nothing_is_an_error():
    """And only that: a device has no end to cut back to."""
    sink = FileSink("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        sink.write(b"line\n")
    sink.close()


def test_a_folder_that_is_gone_is_an_error_until_it_is_back(tmp_path):
    """Then lines are written again."""
    folder = tmp_path / "log"
    folder.mkdir()
    sink = FileSink(str(folder / "decisions.log"))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        sink.write(b"a\n")
    folder.mkdir()
    sink.write(b"b\n")
    sink.close()
    assert (folder / "decisions.log").read_bytes() == b"b\n"
