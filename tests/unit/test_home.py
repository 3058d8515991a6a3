"""`home`: large objects as files in a private folder; nothing that lies there is believed, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from manycore.errors import MessageRefused, ObjectGone, ObjectStoreFull, SettingsError
from manycore.protocol import home as homes
from manycore.protocol.flat import flatten
from manycore.protocol.home import DRAFT, LOCK, Home, sweep

CONTENT = flatten(bytes(range(256)) * 40, "The object", 1)
HOLDER = """
import os, sys
from pathlib import Path
from manycore.protocol.home import DRAFT, Home
home = Home.make("test", Path(sys.argv[1]))
class Endless:
    size = 10
    def write_to(self, descriptor):
        os.write(descriptor, b"half")
        print(home.path, flush=True)
        sys.stdin.read()
home.write("never", Endless())
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.make("test", tmp_path)


def the_bytes() -> bytes:
    return b"".join(CONTENT.pieces())


def files_in(home: Home) -> list[str]:
    return sorted(name for name in os.listdir(home.path) if name != LOCK)


def test_what_was_written_is_mapped_and_cannot_be_written_to(home: Home) -> None:
    home.write("a", CONTENT)
    view = home.mapped("a", CONTENT.size, private=False)
    assert bytes(view) == the_bytes()
    assert view.readonly


def test_a_private_mapping_is_nobody_else_s(home: Home) -> None:
    home.write("a", CONTENT)
    mine = home.mapped("a", CONTENT.size, private=True)
    mine[0:4] = b"mine"
    assert bytes(home.mapped("a", CONTENT.size, private=True)) == the_bytes()


def test_what_is_dropped_stays_where_it_is_mapped(home: Home) -> None:
    home.write("a", CONTENT)
    view = home.mapped("a", CONTENT.size, private=False)
    home.drop("a")
    home.drop("a")
    assert files_in(home) == []
    assert bytes(view) == the_bytes()
    with pytest.raises(ObjectGone):
        home.mapped("a", CONTENT.size, private=False)


def a_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(the_bytes())
    other.chmod(0o600)
    path.symlink_to(other)


def cut_short(path: Path) -> None:
    path.write_bytes(the_bytes()[:-1])
    path.chmod(0o600)


def open_to_others(path: Path) -> None:
    path.write_bytes(the_bytes())
    path.chmod(0o644)


def somebody_else_s(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    path.write_bytes(the_bytes())
    path.chmod(0o600)
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize("lay", [a_link, cut_short, open_to_others, somebody_else_s, os.mkfifo, Path.mkdir])
def test_a_file_that_is_not_ours_is_refused(home: Home, lay: Callable[[Path], None]) -> None:
    lay(home.path / "a")
    with pytest.raises(MessageRefused):
        home.mapped("a", CONTENT.size, private=False)


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".alive", "a\0b", "x" * 201])
def test_a_name_that_leads_elsewhere_is_refused(home: Home, name: str) -> None:
    for use in (
        lambda: home.mapped(name, 10, private=False),
        lambda: home.drop(name),
        lambda: home.write(name, CONTENT),
    ):
        with pytest.raises(MessageRefused):
            use()
    assert files_in(home) == []


@pytest.mark.parametrize("mode", [0o755, 0o710])
def test_a_folder_that_others_can_enter_is_no_home(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(SettingsError, match="private"):
        Home(tmp_path)


def test_a_link_to_a_folder_is_no_home(tmp_path: Path, home: Home) -> None:
    (tmp_path / "link").symlink_to(home.path)
    with pytest.raises(OSError, match="link"):
        Home(tmp_path / "link")


def test_more_than_there_is_room_for_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    home = Home.make("test", tmp_path, 2 * CONTENT.size)
    home.write("a", CONTENT)
    home.write("b", CONTENT)
    with pytest.raises(ObjectStoreFull, match="MANYCORE_OBJECTS_BYTES"):
        home.write("c", CONTENT)
    assert files_in(home) == ["a", "b"]


def test_many_files_are_not_counted_with_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count holds twenty times as long as it took: here it takes as long as ten files do."""
    home, now = Home.make("test", tmp_path, 1 << 30), 0.0
    counts, used_bytes = [], home.used_bytes

    def counted() -> int:
        nonlocal now
        now += 10.0
        counts.append(used_bytes())
        return counts[-1]

    monkeypatch.setattr(homes, "monotonic", lambda: now)
    monkeypatch.setattr(home, "used_bytes", counted)
    for number in range(300):
        home.write(str(number), CONTENT)
        now += 1.0
    assert counts == [0, 200 * CONTENT.size]


def test_where_little_is_left_each_is_counted(tmp_path: Path) -> None:
    home = Home.make("test", tmp_path, 1000 * CONTENT.size)
    for number in range(1000):
        home.write(str(number), CONTENT)
    with pytest.raises(ObjectStoreFull):
        home.write("more", CONTENT)


def test_a_full_disk_is_a_full_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", no_room)
    with pytest.raises(ObjectStoreFull):
        home.write("a", CONTENT)
    assert files_in(home) == []


def test_the_least_used_leave_first(tmp_path: Path) -> None:
    home = Home.make("test", tmp_path, 3 * CONTENT.size)
    for age, name in enumerate("abc"):
        home.write(name, CONTENT)
        os.utime(home.path / name, (age, age))
    assert home.has("a")  # that is a use
    home.drop_least_used(CONTENT.size)
    assert files_in(home) == ["a", "c"]


def test_who_is_last_frees_everything(home: Home) -> None:
    home.write("a", CONTENT)
    other = Home(home.path)
    home.close()
    home.close()
    assert other.has("a")
    other.close()
    assert not other.path.exists()


def test_a_closed_home_has_nothing(home: Home) -> None:
    home.write("a", CONTENT)
    home.close()
    with pytest.raises(ObjectGone):
        home.mapped("a", CONTENT.size, private=False)


def test_what_a_killed_owner_left_is_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "SPARED_SECONDS", 0.0)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        held = Home(path)
        sweep(tmp_path)
        held.drop_drafts()
        assert [name[: len(DRAFT)] for name in files_in(held)] == [DRAFT]  # both are the living's
        owner.kill()
    held.drop_drafts()
    assert files_in(held) == []
    os.close(held._lock)  # as if we had been killed, too
    sweep(tmp_path)
    assert not path.exists()


def test_the_young_are_spared(home: Home, tmp_path: Path) -> None:
    """Between making its folder and taking the lock, an owner looks dead."""
    os.close(home._lock)
    sweep(tmp_path)
    assert home.path.exists()
