"""The archive of a session is made anew when what goes into it has changed, and only then."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from manycore.client import code as client_code
from manycore.client.code import Code, CodeShipper
from manycore.client.found import Found
from manycore.client.modules import find_modules, renewed
from manycore.errors import CodeTooLarge, SettingsError
from manycore.protocol import archive, moments
from manycore.protocol.archive import open_archive
from manycore.protocol.signing import Keyring, generate_key
from tests.modules import write
from tests.programs import run
from tests.programs import write as folder

KEYRING = Keyring([generate_key().encode()])


def test_an_edit_gives_another_archive_and_no_edit_the_same(project: Path) -> None:
    write(project, tm_one="x = 1")
    importlib.import_module("tm_one")
    shipper = CodeShipper(KEYRING, Code())
    first, again = shipper.current(), shipper.current()
    assert first is not None
    assert again is first
    write(project, tm_one="x = 22")
    second = shipper.current()
    assert second is not None
    assert open_archive(KEYRING, second.sealed, second.digest)["tm_one.py"] == b"x = 22"
    assert second.digest != first.digest


LOOKS = """
import pkg
from time import thread_time
from manycore.client import modules
from manycore.client.code import Code, CodeShipper
from manycore.protocol import moments
from manycore.protocol.signing import Keyring, generate_key

moments.JUST_NOW_NS = -1  # the folder has just changed
best = [float("inf")] * 2
for _ in range(20):
    modules._imports.clear()
    shipper = CodeShipper(Keyring([generate_key().encode()]), Code())
    for which in range(2):
        before = thread_time()
        shipper.current()
        best[which] = min(best[which], thread_time() - before)
print(len(shipper.files), *best)
"""


def test_two_hundred_files_cost_little_and_without_an_edit_next_to_nothing(tmp_path: Path) -> None:
    """In a process of its own, by the time that its thread works, and the best of many: others have the cores, too."""
    functions = "".join(f"def f{n}(x, y):\n    return x * {n} + y\n\n" for n in range(60))
    modules = {f"pkg/m{number}.py": f"import os, json\nfrom . import m0\n{functions}" for number in range(199)}
    files, first, again = run(folder(tmp_path, modules | {"pkg/__init__.py": "", "look.py": LOOKS}), "look.py").split()
    assert files == "200"
    assert float(first) < 0.050
    assert float(again) < 0.005


def test_without_an_edit_nobody_looks_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, tm_one="def f(): import tm_later", tm_pkg__of____init__="", tm_pkg__of__deep__of__a="")
    for name in ("tm_one", "tm_pkg"):
        importlib.import_module(name)
    monkeypatch.setattr(moments, "JUST_NOW_NS", -1)  # these folders have just changed
    shipper = CodeShipper(KEYRING, Code())
    looks = []

    def look(exclude: Iterable[str], mentioned: Iterable[str]) -> Found:
        looks.append(exclude)
        return find_modules(exclude, mentioned)

    monkeypatch.setattr(client_code, "find_modules", look)

    def current() -> tuple[set[str], int]:
        shipper.current()
        return {path for path in shipper.files if path.startswith("tm_")}, len(looks)

    files = {"tm_one.py", "tm_pkg/__init__.py", "tm_pkg/deep/a.py"}
    assert [current(), current()] == [(files, 1)] * 2
    for number, name in enumerate(["tm_later", "tm_pkg__of__deep__of__b"], start=2):
        write(project, **{name: ""})
        importlib.invalidate_caches()
        files.add(name.replace("__of__", "/") + ".py")
        assert [current(), current()] == [(files, number)] * 2
    sys.modules["tm_third"] = ModuleType("tm_third")
    assert current() == (files, 4)


def test_what_is_imported_a_moment_after_a_look_goes_along(project: Path) -> None:
    """Its name stands nowhere in the program: `submit` found it a second later only."""
    write(project, tm_one="", tm_plugin="", elsewhere__of__tm_other="")
    importlib.import_module("tm_one")
    shipper = CodeShipper(KEYRING, Code())
    shipper.current(briefly=True)
    importlib.import_module("tm_plugin")
    shipper.current(briefly=True)
    assert "tm_plugin.py" in shipper.files
    sys.path.insert(0, str(project / "elsewhere"))
    try:
        importlib.import_module("tm_other")
        shipper.current(briefly=True)
    finally:
        sys.path.pop(0)
    assert "tm_other.py" in shipper.files


def test_what_changes_in_the_moment_of_a_look_is_looked_at_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's clock ticks some 250 times a second only."""
    monkeypatch.setattr(moments, "JUST_NOW_NS", 10**12)
    write(project, tm_one="def f(): import tm_later")
    importlib.import_module("tm_one")
    look = find_modules()
    assert renewed(look) is None
    moment = os.stat(project)
    write(project, tm_later="")
    os.utime(project, ns=(moment.st_atime_ns, moment.st_mtime_ns))
    assert renewed(look) is None


def test_code_can_be_off() -> None:
    assert CodeShipper(KEYRING, Code.of("off")).current() is None


@pytest.mark.parametrize("globs", ["data/*.json", [1], [b"data/*"]])
@pytest.mark.parametrize("name", ["include", "exclude"])
def test_globs_come_in_a_list(name: str, globs: Any) -> None:
    """A text was read letter by letter: as `exclude`, "*" kept everything at home."""
    with pytest.raises(SettingsError, match=rf"{name}=.*give a list of globs"):
        Code(**{name: globs})


@pytest.mark.parametrize("value", ["on", "", None, True, 7])
def test_any_other_value_is_an_error(value: object) -> None:
    with pytest.raises(SettingsError, match="auto"):
        Code.of(value)  # type: ignore[arg-type]


def test_too_much_code_names_the_largest_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    write(project, tm_big="#" * 90, tm_small="#" * 20)
    importlib.import_module("tm_big")
    importlib.import_module("tm_small")
    with pytest.raises(CodeTooLarge, match=r"The largest: "):
        CodeShipper(KEYRING, Code()).current()


@pytest.mark.parametrize("name", ["tabnanny", "click.shell_completion", "manycore.fleet"])
def test_to_import_what_is_installed_is_no_reason_to_look_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A whole look takes milliseconds, and a program goes on importing long after its first call."""
    monkeypatch.setattr(moments, "JUST_NOW_NS", -1)
    importlib.import_module(name)  # and what that imports
    monkeypatch.delitem(sys.modules, name)
    shipper = CodeShipper(KEYRING, Code())
    shipper.current()
    monkeypatch.setattr(client_code, "find_modules", lambda *_: pytest.fail("it looks again"))
    importlib.import_module(name)
    shipper.current()
    shipper.current(briefly=True)
