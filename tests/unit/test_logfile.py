"""A log that is too long is cut off at its head, under the hands of those who write to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manycore.local import logfile
from manycore.local.logfile import keep_small


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(logfile, "MAX_BYTES", 1_000)
    monkeypatch.setattr(logfile, "KEPT_BYTES", 100)
    return tmp_path / "log"


def test_the_last_whole_lines_are_kept_and_who_writes_goes_on(log: Path) -> None:
    with log.open("ab", buffering=0) as writer:
        writer.write(b"".join(b"line %d\n" % n for n in range(1_000)))
        size = log.stat().st_size
        keep_small(log)
        writer.write(b"more\n")
    note, *lines, last = log.read_text().splitlines()
    assert str(size) in note
    assert lines == [f"line {n}" for n in range(1_000 - len(lines), 1_000)]
    assert 50 < len("\n".join(lines)) < 100
    assert last == "more"


def test_of_one_long_line_the_end_is_kept(log: Path) -> None:
    log.write_bytes(b"." * 2_000 + b"end")
    keep_small(log)
    assert log.read_bytes().endswith(b"\n" + b"." * 97 + b"end")


def test_one_that_is_short_or_not_there_is_left_alone(log: Path) -> None:
    keep_small(log)
    assert not log.exists()
    log.write_bytes(b"." * 1_000)
    os.utime(log, (0, 0))
    keep_small(log)
    assert (log.stat().st_size, log.stat().st_mtime) == (1_000, 0)
