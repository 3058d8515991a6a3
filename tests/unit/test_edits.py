"""An edit is seen by the next look, whether files are looked at one by one or the kernel is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from manycore.client import edits, watch
from manycore.client.edits import MANY_FILES, MANY_LOOKS, Edits, Files
from manycore.client.found import stamp_of
from manycore.client.watch import Watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what tells of edits is Linux's")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the machine's own disk, whatever it is; in it `project/pkg` with files."""
    _mounted(tmp_path, "ext4", monkeypatch)
    (tmp_path / "project/pkg").mkdir(parents=True)
    for number in range(MANY_FILES):
        (tmp_path / f"project/pkg/m{number}.py").write_text("x = 1\n")
    return tmp_path


@pytest.fixture
def looked() -> Iterator[Edits]:
    made = Edits()
    yield made
    made.close()


def _mounted(folder: Path, file_system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = folder / "mounts"
    mounts.write_text(f"1 0 254:0 / / rw,relatime shared:1 - {file_system} /dev/vda rw\n")
    monkeypatch.setattr(watch, "MOUNTS", mounts)


def _files(here: Path) -> Files:
    found = sorted((here / "project/pkg").iterdir())
    stamps = {path.name: (str(path), stamp_of(str(path))) for path in found}
    return {name: (path, stamp) for name, (path, stamp) in stamps.items() if stamp is not None}


def _often(looked: Edits, files: Files) -> None:
    assert not any(looked.in_any_of(files) for _ in range(MANY_LOOKS + 1))


def _touched_after(looked: Edits, files: Files, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are looked at from now on, after many looks."""
    _often(looked, files)
    touched: list[str] = []

    def look(file: str) -> object:
        touched.append(file)
        return stamp_of(file)

    monkeypatch.setattr(edits, "stamp_of", look)
    return touched


def test_after_many_looks_the_kernel_is_asked_instead(
    here: Path, looked: Edits, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _files(here)
    touched = _touched_after(looked, files, monkeypatch)
    assert not looked.in_any_of(files)
    assert not touched


def test_each_is_looked_at_once_a_second_all_the_same(
    here: Path, looked: Edits, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _files(here)
    touched = _touched_after(looked, files, monkeypatch)
    now = monotonic() + edits.FRESH_SECONDS
    monkeypatch.setattr(edits, "monotonic", lambda: now)
    assert [looked.in_any_of(files), looked.in_any_of(files)] == [False, False]
    assert len(touched) == len(files)


def _in_place(file: Path) -> None:
    file.write_text("x = 22\n")


def _by_rename(file: Path) -> None:
    file.with_suffix(".new").write_text("x = 22\n")
    file.with_suffix(".new").replace(file)


def _of_the_same_size(file: Path) -> None:
    file.write_text("x = 2\n")
    os.utime(file, ns=(1, 1))


def _by_an_older_one(file: Path) -> None:
    file.with_suffix(".old").write_text("x = 0\n")
    os.utime(file.with_suffix(".old"), ns=(1, 1))
    file.with_suffix(".old").replace(file)


def _away(file: Path) -> None:
    file.unlink()


def _whole_folder(file: Path) -> None:
    os.rename(file.parent, file.parent.with_name("before"))
    file.parent.mkdir()


def _folder_further_up(file: Path) -> None:
    project = file.parent.parent
    os.rename(project, project.with_name("before"))
    file.parent.mkdir(parents=True)


def _by_its_second_name(file: Path) -> None:
    os.link(file, file.parent.parent / "elsewhere.py")
    (file.parent.parent / "elsewhere.py").write_text("x = 22\n")


def _by_a_link(file: Path) -> None:
    file.with_suffix(".target").write_text("x = 22\n")
    file.unlink()
    file.symlink_to(file.with_suffix(".target"))


IN_PLACE = [_in_place, _of_the_same_size, _by_its_second_name]
BY_ANOTHER = [_by_rename, _by_an_older_one, _by_a_link]
AWAY = [_away, _whole_folder, _folder_further_up]


@pytest.mark.parametrize("edit", [*IN_PLACE, *BY_ANOTHER, *AWAY])
@pytest.mark.parametrize("watched", [True, False])
def test_an_edit_is_seen_by_the_next_look(
    edit: Callable[[Path], None], watched: bool, here: Path, looked: Edits
) -> None:
    files = _files(here)
    if watched:
        _often(looked, files)
    assert not looked.in_any_of(files)
    edit(here / "project/pkg/m3.py")
    assert looked.in_any_of(files)


def test_what_became_a_link_is_looked_at_from_then_on(here: Path, looked: Edits) -> None:
    """It looks as before, and what happens to its target nobody tells."""
    files, file, target = _files(here), here / "project/pkg/m3.py", here / "target.py"
    _often(looked, files)
    moment = file.stat()
    file.rename(target)
    file.symlink_to(target)
    assert (target.stat().st_mtime_ns, target.stat().st_size) == (moment.st_mtime_ns, moment.st_size)
    _often(looked, files)
    _often(looked, files)
    target.write_text("x = 22\n")
    assert looked.in_any_of(files)


def _with_a_link(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "project/pkg/m3.py").rename(here / "elsewhere.py")
    (here / "project/pkg/m3.py").symlink_to(here / "elsewhere.py")


def _behind_a_link(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "project").rename(here / "release-1")
    (here / "project").symlink_to(here / "release-1")


def _mounted_by_itself(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a container: what happens to it happens elsewhere."""
    file = str(here / "project/pkg/m3.py")
    (here / "mounts").write_text(f"1 0 254:0 / / rw - ext4 x rw\n2 1 254:1 /m3.py {file} rw - virtiofs host rw\n")


def _on_a_share(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mounted(here, "nfs4", monkeypatch)


def _without_proc(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOUNTS", here / "there is none")


@pytest.mark.parametrize("made", [_with_a_link, _mounted_by_itself, _behind_a_link, _on_a_share, _without_proc])
def test_what_is_not_told_of_is_looked_at(
    made: Callable[[Path, pytest.MonkeyPatch], None], here: Path, looked: Edits, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(here, monkeypatch)
    files = _files(here)
    assert Watch.of(file for file, _ in files.values()) is None
    touched = _touched_after(looked, files, monkeypatch)
    assert not looked.in_any_of(files)
    assert len(touched) == len(files)


def test_where_no_watch_is_to_be_had_files_are_looked_at(
    here: Path, looked: Edits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives 128 of them to a user, as it comes."""

    def refuse(**_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("inotify_simple.INotify", refuse)
    files = _files(here)
    _often(looked, files)
    _in_place(here / "project/pkg/m3.py")
    assert looked.in_any_of(files)


def test_few_files_are_not_watched(here: Path, looked: Edits, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "project/pkg/m0.py").unlink()
    files = _files(here)
    touched = _touched_after(looked, files, monkeypatch)
    assert not looked.in_any_of(files)
    assert len(touched) == len(files) == MANY_FILES - 1


def test_where_something_happens_all_the_time_watches_are_not_made_each_time(
    here: Path, looked: Edits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that writes its log beside its modules."""
    made, files = [], _files(here)

    def is_never_quiet(watched: Watch) -> bool:
        made.append(watched)
        return False

    monkeypatch.setattr(Watch, "is_quiet", is_never_quiet)
    for _ in range(40 * MANY_LOOKS):
        assert not looked.in_any_of(files)
    assert 2 <= len(made) <= 6


@pytest.mark.parametrize("place", ["/mnt/a b", "/mnt/größe", "/mnt/a\u00a0b", "/mnt/\udcff", "/mnt/a\\b"])
def test_a_mount_is_known_by_its_place(place: str) -> None:
    written = os.fsencode(place).replace(b"\\", rb"\134").replace(b" ", rb"\040")
    line = b"36 35 98:0 /mnt1 %s rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue" % written
    assert watch._mount(line) == (place, "ext3")


def test_where_nothing_is_mounted_nothing_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a changed root directory; and `//tmp` is `/tmp`, but not by its name."""
    (here / "mounts").write_text("1 0 254:0 / /elsewhere rw - ext4 /dev/vda rw\n")
    files = [file for file, _ in _files(here).values()]
    assert Watch.of(files) is None
    assert Watch.of(f"/{file}" for file in files) is None


def test_who_closes_all_that_is_open_has_files_looked_at(here: Path, looked: Edits) -> None:
    files, file = _files(here), here / "project/pkg/m3.py"
    _often(looked, files)
    assert looked._watch is not None
    os.close(looked._watch._kernel.fileno())
    assert not looked.in_any_of(files)
    file.write_text("x = 22\n")
    assert looked.in_any_of(files)


def test_nothing_is_left_open(here: Path) -> None:
    def watches() -> int:
        names = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
        return sum(name.is_symlink() and "inotify" in os.readlink(name) for name in names)

    before, looked = watches(), Edits()
    _often(looked, _files(here))
    assert watches() == before + 1
    looked.close()
    assert watches() == before
