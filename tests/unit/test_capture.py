"""`Capture`: what an item writes is kept within its bounds, and told once, whoever writes meanwhile."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from manycore.worker.child.capture import LINE_SECONDS, MAX_UNTOLD_BYTES, OVERHEAD_BYTES, Capture, left_out
from tests.runs import chunk_of

ITEM_BYTES = 2048
NOTHING_RUNS = -1


class Heard:
    """A capture of a run whose note the test writes; gives what it would carry away."""

    def __init__(self, item_bytes: int = ITEM_BYTES) -> None:
        self.note = memoryview(bytearray(8)).cast("q")
        self.capture = Capture(chunk_of(0, 9, attempt=2), self.note, "c/1", item_bytes)

    def write(self, text: str, *, at: int = 0, stream: str = "stdout") -> None:
        self.note[0] = at
        self.capture.hear(stream, text.encode())

    def pieces(self, *, done: int = 9) -> list[list[Any]]:
        """(index, stream, text)"""
        entries = [json.loads(entry) for entry in self.entries(done)]
        return [[index, stream, text] for entry in entries for index, _, stream, text, *_ in entry["p"]]

    def entries(self, done: int = 9) -> list[bytes]:
        entries = self.capture.untold("host/1", 0.0, done)
        self.capture.told(entries)
        return entries


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_neighbours_are_one_piece_and_each_item_and_stream_its_own(heard: Heard) -> None:
    for text in ("a", "\n", "b\n"):
        heard.write(text)
    heard.write("e\n", stream="stderr")
    heard.write("c\n", at=1)
    assert heard.pieces() == [[100, "stdout", "a\nb\n"], [100, "stderr", "e\n"], [101, "stdout", "c\n"]]
    assert not heard.capture.waits


def test_an_entry_says_who_wrote_it_in_which_attempt(heard: Heard) -> None:
    heard.write("a")
    (entry,) = map(json.loads, heard.entries())
    assert (entry["w"], entry["n"], entry["r"], entry["s"]) == ("host/1", 2, "c/1", 1)


def test_what_runs_before_items_has_no_index(heard: Heard) -> None:
    heard.write("set up", at=NOTHING_RUNS)
    assert heard.pieces() == [[None, "stdout", "set up"]]


def test_what_was_not_told_comes_again(heard: Heard) -> None:
    heard.write("a")
    first = heard.capture.untold("host/1", 0.0, 9)
    heard.write("b")
    again = heard.capture.untold("host/1", 0.0, 9)
    assert again[:1] == first
    heard.capture.told(again)
    assert not heard.capture.waits


@pytest.mark.parametrize("line", [10, 100, 10_000, 10_000_000])
def test_an_item_keeps_its_beginning_and_its_end(heard: Heard, line: int) -> None:
    count = max(1, 20_000 // line)
    written = "".join(f"{n:0{line - 1}}\n" for n in range(count))
    for at in range(0, len(written), line):
        heard.write(written[at : at + line])
    pieces = heard.pieces()
    text = "".join(text for _, stream, text in pieces if stream == "stdout")
    (lost,) = (text for _, stream, text in pieces if stream == "dropped")
    assert len(text) <= ITEM_BYTES
    assert lost == left_out(len(written) - len(text))
    place = next(at for at, piece in enumerate(pieces) if piece[1] == "dropped")
    head, tail = ("".join(piece[2] for piece in some) for some in (pieces[:place], pieces[place + 1 :]))
    assert written.startswith(head)
    assert written.endswith(tail)
    assert min(len(head), len(tail)) > ITEM_BYTES // 3


def test_writings_of_a_byte_each_are_bounded_by_what_they_take(heard: Heard) -> None:
    """Not by their bytes alone; and in no more time than others."""
    for _ in range(50_000):
        heard.write(".")
        heard.write("!", stream="stderr")
    pieces = heard.pieces()
    assert len(pieces) < 2 * ITEM_BYTES / OVERHEAD_BYTES
    assert sum(len(text) for _, stream, text in pieces if stream != "dropped") < 100


def test_a_line_is_not_torn(heard: Heard) -> None:
    heard.write("a\nb")
    assert heard.pieces(done=0) == [[100, "stdout", "a\n"]]
    heard.write(" c")
    assert heard.pieces(done=0) == []
    heard.write("\n")
    assert heard.pieces(done=0) == [[100, "stdout", "b c\n"]]
    assert not heard.capture.waits


@pytest.mark.parametrize("end", ["its item is over", "another writes", "it takes long"])
def test_a_line_without_an_end_is_told_in_the_end(heard: Heard, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard.write("50 %")
    assert heard.pieces(done=0) == []
    if end == "another writes":
        heard.write("", at=1)
    elif end == "it takes long":
        later = time.time() + LINE_SECONDS
        monkeypatch.setattr(time, "time", lambda: later)
    assert heard.pieces(done=1 if end == "its item is over" else 0) == [[100, "stdout", "50 %"]]


def test_the_end_of_an_item_waits_until_it_is_over(heard: Heard) -> None:
    heard.write("x" * 5000)
    assert "".join(text for *_, text in heard.pieces(done=0)) == "x" * (ITEM_BYTES // 2)
    assert heard.capture.waits
    heard.write("next\n", at=1)
    assert [piece[:2] for piece in heard.pieces(done=0)] == [[100, "dropped"], [100, "stdout"], [101, "stdout"]]


def test_an_item_that_goes_on_can_be_followed(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    heard.write("x" * 1500)
    heard.pieces(done=0)
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    heard.write("still here\n")
    assert heard.pieces(done=0)[-1][2].endswith("still here\n")


def test_what_waits_is_bounded_and_says_what_is_missing(heard: Heard) -> None:
    for at in range(9):
        for n in range(1000):
            heard.write("x" * 100, at=at + 9 * n)
    entries = heard.entries()
    assert sum(map(len, entries)) < 1.5 * MAX_UNTOLD_BYTES
    index, _, stream, text, *_ = json.loads(entries[0])["p"][0]
    assert (index, stream) == (None, "dropped")
    assert int(text.split()[0].strip("[").replace(",", "")) > 500_000


def test_a_server_that_is_away_costs_no_memory(heard: Heard) -> None:
    for n in range(50):
        for at in range(9):
            heard.write("x" * 2000, at=at + 9 * n)
        heard.capture.untold("host/1", 0.0, 9)
    assert sum(map(len, heard.capture.untold("host/1", 0.0, 9))) <= 2 * MAX_UNTOLD_BYTES


def test_threads_write_at_once(heard: Heard) -> None:
    def write() -> None:
        for _ in range(200):
            heard.write(".")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(text) for *_, text in heard.pieces()) == 800


def test_bytes_that_are_no_text_are_shown_all_the_same(heard: Heard) -> None:
    heard.capture.hear("stdout", b"a\xff\n")
    heard.capture.hear("log", "b\ud800\n".encode(errors="backslashreplace"))
    assert [text for *_, text in heard.pieces()] == ["a�\n", "b\\ud800\n"]
