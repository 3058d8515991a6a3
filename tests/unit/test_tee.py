"""`Tee`: standard output stays the file that it was, and what is written to it is told."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from manycore.worker.child import tee
from manycore.worker.child.ears import ears


class Redirected:
    """A standard output that goes to a file; tells what was heard."""

    def __init__(self, path: Path, *, unbuffered: bool = False) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0 if unbuffered else -1)
        self.before = io.TextIOWrapper(self._file, encoding="latin-1", errors="strict", newline="\n")
        self.heard: list[tuple[str, bytes, str]] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", self.before)
        monkeypatch.setattr(sys, "stderr", None)  # as where it was closed
        tee.install(self)

    @property
    def of_process(self) -> Redirected:
        return self

    def capture(self) -> Redirected:
        return self

    def hear(self, stream: str, data: bytes, encoding: str) -> None:
        self.heard.append((stream, data, encoding))

    @property
    def text(self) -> str:
        return "".join(data.decode(encoding) for _, data, encoding in self.heard)


@pytest.fixture
def redirect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Redirected]:
    """To be called by the test itself: pytest sets `sys.stdout` anew after its fixtures."""

    def installed() -> Redirected:
        out = Redirected(tmp_path / "out")
        out.install(monkeypatch)
        return out

    return installed


def test_it_goes_where_it_went_and_is_heard(redirect: Callable[[], Redirected]) -> None:
    redirected = redirect()
    print("é", 1)
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.writelines(["a\n", "b\n"])
    sys.stdout.flush()
    assert redirected.path.read_text("latin-1") == redirected.text == "é 1\nbytes\na\nb\n"
    assert {name for name, *_ in redirected.heard} == {"stdout"}


def test_it_is_a_file_like_before(redirect: Callable[[], Redirected]) -> None:
    redirected = redirect()
    before, now = redirected.before, sys.stdout
    assert type(now) is type(before)
    for name in ("encoding", "errors", "line_buffering", "newlines", "name"):
        assert getattr(now, name) == getattr(before, name)
    assert now.fileno() == before.fileno()
    assert isinstance(now.buffer, io.BufferedWriter)


def test_what_cannot_be_encoded_is_the_writers_own_error(redirect: Callable[[], Redirected]) -> None:
    redirected = redirect()
    with pytest.raises(UnicodeEncodeError):
        print("\ud800")
    print("after")
    assert redirected.text == "after\n"


def test_a_record_on_its_way_to_it_is_not_heard_twice(redirect: Callable[[], Redirected]) -> None:
    redirected = redirect()
    logger = logging.Logger("apart")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.warning("by a handler")
    sys.stdout.flush()
    assert redirected.heard == []
    assert redirected.path.read_text() == "by a handler\n"


def test_unbuffered_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Redirected(tmp_path / "out", unbuffered=True)
    out.install(monkeypatch)
    print("at once")
    assert out.path.read_text() == "at once\n"


PUT_ASIDE = """
import os, sys
from manycore.worker.child import tee
from manycore.worker.child.ears import ears
sys.stdout = open(os.dup(1), "w", newline="\\n")
tee.install(ears)
print("before")
out = sys.stdout.fileno()
sys.stdout.flush()
sys.stdout = sys.__stdout__
os.write(out, b"after")
"""


@pytest.mark.parametrize("unbuffered", [True, False])
def test_a_log_that_takes_nothing_any_more_is_no_error_of_who_prints(
    unbuffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed is still heard. It was each item's BrokenPipeError once a worker's `| tee log` had ended."""
    redirected = Redirected(Path("/dev/full"), unbuffered=unbuffered)
    redirected.install(monkeypatch)
    print("to nobody", flush=True)
    sys.stdout.flush()
    assert redirected.text == "to nobody\n"


def test_put_aside_by_an_item_it_stays_open() -> None:
    """In a process where nothing else holds it."""
    done = subprocess.run([sys.executable, "-c", PUT_ASIDE], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.returncode) == ("before\nafter", 0), done.stderr


def test_what_is_no_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    monkeypatch.setattr(sys, "stderr", None)
    tee.install(ears)
    assert sys.stdout is own
    assert sys.stderr is None
