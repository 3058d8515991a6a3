"""`RunFolder`: whose owner is gone is told from whose owner lives."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from manycore.errors import SettingsError
from manycore.worker.folder import LOCK, RunFolder


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    mine, theirs = RunFolder(tmp_path, "k1"), RunFolder(tmp_path, "k1")
    assert mine.of_the_dead(["k1"]) == theirs.of_the_dead(["k1"]) == []


def test_a_dead_one_of_the_same_cluster_is_found(tmp_path: Path) -> None:
    mine, dead, stranger = (RunFolder(tmp_path, key) for key in ("k2", "k1", "k9"))
    dead.let_go()
    stranger.let_go()
    assert mine.of_the_dead(["k2", "k1"]) == [dead.path]


def test_a_place_full_of_other_things_is_not_listed_at_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = RunFolder(tmp_path, "k1"), RunFolder(tmp_path, "k1")
    os.utime(tmp_path, (1, 1))
    assert mine.of_the_dead(["k1"]) == []
    other.let_go()
    with monkeypatch.context() as patch:
        patch.delattr(os, "listdir")
        assert mine.of_the_dead(["k1"]) == [other.path], "that it died is seen all the same"
    late = RunFolder(tmp_path, "k1")
    late.let_go()
    assert set(mine.of_the_dead(["k1"])) == {other.path, late.path}


@pytest.mark.parametrize("kind", ["no lock", "link", "link for a lock", "file"])
def test_what_is_no_folder_of_a_worker_is_passed_over(tmp_path: Path, kind: str) -> None:
    mine, dead = RunFolder(tmp_path, "k1"), RunFolder(tmp_path / "..", "k1")
    dead.let_go()
    odd = tmp_path / "manycore-worker-odd"
    if kind == "link":
        odd.symlink_to(dead.path)
    elif kind == "file":
        odd.touch()
    else:
        odd.mkdir()
    if kind == "link for a lock":
        (odd / LOCK).symlink_to(dead.path / LOCK)
    assert mine.of_the_dead(["k1"]) == []


def test_a_worker_without_room_for_boxes_says_so_when_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SettingsError, match=f"{tmp_path}, and cannot: No space left on device. Make room there"):
        RunFolder(tmp_path, "k1")
    assert not list(tmp_path.iterdir())
