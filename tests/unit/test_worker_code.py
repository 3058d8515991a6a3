"""A process imports from one archive at a time, and neither archive ever sees the other's modules, or the worker's."""

from __future__ import annotations

import importlib
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from manycore.worker import code
from manycore.worker.code import CodeStore, Imports
from manycore.worker.packages import PackageStore
from tests.locked import is_locked

NAME = "travelling_module"


def source(value: int) -> Callable[[], dict[str, bytes]]:
    return lambda: {f"{NAME}.py": b"VALUE = %d\n" % value}


def none() -> dict[str, bytes]:
    raise AssertionError("it is here already")


@pytest.fixture
def imports(tmp_path: Path) -> Iterator[Imports]:
    before = list(sys.path)
    yield Imports(CodeStore(tmp_path / "code"), lambda digest: None)
    sys.path[:] = before
    for name in (NAME, ADDED):
        sys.modules.pop(name, None)


def value() -> int:
    return int(importlib.import_module(NAME).VALUE)


def test_a_module_is_imported_from_the_archive(imports: Imports) -> None:
    with imports.of("a", source(1)):
        assert value() == 1


def test_it_is_fetched_once(imports: Imports) -> None:
    for fetch in (source(1), none):
        with imports.of("a", fetch):
            assert value() == 1


def test_another_process_of_the_host_finds_it(tmp_path: Path, imports: Imports) -> None:
    with imports.of("a", source(1)):
        assert CodeStore(tmp_path / "code").path("a", none).is_dir()


def test_two_archives_do_not_meet(imports: Imports) -> None:
    for _ in range(3):
        for digest, number in (("a", 1), ("b", 2)):
            with imports.of(digest, source(number)):
                assert value() == number


def test_a_module_keeps_its_state_for_the_archives_next_turn(imports: Imports) -> None:
    with imports.of("a", source(1)):
        first = importlib.import_module(NAME)
    with imports.of("b", source(2)):
        assert importlib.import_module(NAME) is not first
    with imports.of("a", none):
        assert importlib.import_module(NAME) is first


def test_the_workers_own_module_of_that_name_comes_back(imports: Imports) -> None:
    own = sys.modules[NAME] = ModuleType(NAME)
    with imports.of("a", source(1)):
        assert value() == 1
    with imports.of("b", lambda: {"another_travelling_module.py": b""}):
        assert sys.modules[NAME] is own


def absent() -> bool:
    try:
        value()
    except ImportError:
        return True
    return False


def test_who_brings_no_archive_does_not_see_that_of_another(imports: Imports) -> None:
    with imports.of("a", source(1)):
        assert value() == 1
    with imports.of(None, none):
        assert absent()
    with imports.of("a", none):
        assert value() == 1
    imports.own()
    assert absent()


def test_an_archive_that_cannot_be_had_leaves_none_behind(imports: Imports) -> None:
    def fail() -> dict[str, bytes]:
        raise OSError("away")

    with imports.of("a", source(1)):
        assert value() == 1
    with pytest.raises(OSError, match="away"), imports.of("b", fail):
        pass
    with imports.of(None, none):
        assert absent()


def test_the_workers_own_tasks_wait_for_nobody(imports: Imports) -> None:
    with imports.of("a", source(1)):
        imports.own()
        assert value() == 1


ADDED = "added_package"


class Added(PackageStore):
    """Packages that are there already: a folder for each name, with a module of its own and one that workers have."""

    def path(self, packages: tuple[str, ...]) -> Path:
        place = self._folder / "-".join(packages)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{ADDED}.py").write_text(f"NAME = {packages[0]!r}\n")
        (place / "click.py").write_text("raise RuntimeError\n")
        return place


@pytest.fixture
def with_packages(tmp_path: Path, imports: Imports) -> Imports:
    imports._packages = Added(tmp_path / "packages")
    return imports


def added() -> ModuleType | None:
    try:
        return importlib.import_module(ADDED)
    except ImportError:
        return None


def test_packages_are_there_for_who_asks_and_keep_what_the_worker_has(with_packages: Imports) -> None:
    own = importlib.import_module("click")
    for name in ("p", "q", "p"):
        with with_packages.of(None, none, (name,)):
            module = added()
            assert module is not None
            assert name == module.NAME
            assert importlib.import_module("click") is own
        with with_packages.of("a", source(1)):
            assert added() is None
            assert value() == 1
    with with_packages.of(None, none, ("p",)), pytest.raises(ImportError):
        value()


def test_an_edit_does_not_import_packages_anew(with_packages: Imports) -> None:
    """Many a compiled module refuses that."""
    seen = set()
    for digest, number in (("a", 1), ("b", 2), ("a", 1)):
        with with_packages.of(digest, source(number), ("p",)):
            assert value() == number
            seen.add(id(added()))
    assert len(seen) == 1


def test_what_is_dropped_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "KEPT_IMPORTS", 1)
    monkeypatch.setattr(sys, "path", list(sys.path))
    gone: list[str] = []
    imports = Imports(CodeStore(tmp_path / "code"), gone.append)
    for number, digest in enumerate("abc"):
        with imports.of(digest, source(number)):
            assert value() == number
    assert gone == ["a"]
    sys.modules.pop(NAME, None)


def test_the_oldest_archives_leave_when_there_are_too_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "KEPT_BYTES", 25)
    store = CodeStore(tmp_path / "code")
    for digest in "abc":
        store.path(digest, lambda: {"m.py": b"0123456789"})
        store.let_go(digest)
    other = CodeStore(tmp_path / "code")
    other.path("d", lambda: {"m.py": b"0123456789"})
    kept = {place.name for place in (tmp_path / "code").iterdir() if place.is_dir()}
    assert kept == {"c", "d"}


def test_one_that_is_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "KEPT_BYTES", 5)
    user = CodeStore(tmp_path / "code")
    user.path("a", lambda: {"m.py": b"0123456789"})
    CodeStore(tmp_path / "code").path("b", lambda: {"m.py": b"0123456789"})
    assert (tmp_path / "code" / "a" / "m.py").exists()


def emptied(folder: Path) -> None:
    shutil.rmtree(folder / "a" / "package")
    (folder / "a" / "m.py").unlink()


TAKEN: dict[str, Callable[[Path], object]] = {
    "a part": lambda folder: (folder / "a" / "package" / "n.py").unlink(),
    "its files": emptied,
    "the folder": lambda folder: shutil.rmtree(folder / "a"),
    "the list": lambda folder: (folder / "a.list").unlink(),
    "all": shutil.rmtree,
}


@pytest.mark.parametrize("who", ["another process", "the same"])
@pytest.mark.parametrize("what", TAKEN)
def test_what_a_cleaner_took_is_made_again(tmp_path: Path, what: str, who: str) -> None:
    """As cleaners of /tmp do: they take what is old file by file, and leave the rest."""
    files = {"m.py": b"M = 1\n", "package/n.py": b"N = 1\n"}
    first, folder = CodeStore(tmp_path / "code"), tmp_path / "code"
    first.path("a", lambda: files)
    TAKEN[what](folder)
    store = first if who == "the same" else CodeStore(folder)
    for fetch in (lambda: files, none):
        place = store.path("a", fetch)
        assert {name: (place / name).read_bytes() for name in files} == files
    assert sorted(entry.name for entry in folder.iterdir()) == ["a", "a.list", "lock"]
    assert is_locked(folder / "a")


def test_compiled_files_come_and_go(tmp_path: Path) -> None:
    place = CodeStore(tmp_path / "code").path("a", lambda: {"m.py": b""})
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "m.pyc").touch()
    store = CodeStore(tmp_path / "code")
    store.path("a", none)
    shutil.rmtree(place / "__pycache__")
    store.path("a", none)


def test_what_could_not_be_fetched_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, bytes]:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        CodeStore(tmp_path / "code").path("a", fail)
    assert [place.name for place in (tmp_path / "code").iterdir() if place.is_dir()] == []


def test_threads_take_turns_by_archive(imports: Imports) -> None:
    found: list[bool] = []

    def use(digest: str | None, number: int) -> None:
        for _ in range(20):
            with imports.of(digest, source(number)):
                found.append(value() == number if digest else absent())

    threads = [threading.Thread(target=use, args=args) for args in [("a", 1), ("b", 2), ("a", 1), (None, 3)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [True] * 80
