"""Sets of packages are installed once a host, whole or not at all; what fails is not tried again at once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from manycore.errors import PackagesFailed
from manycore.protocol.settings import load_settings
from manycore.worker import packages
from manycore.worker.packages import PackageStore, packages_folder

INSTALLER = """
import os, sys, pathlib
asked = sys.argv[1:]
pathlib.Path({log!r}).open("a").write(" ".join(asked[6:]) + "\\n")
pathlib.Path(asked[asked.index("--target") + 1], "module.py").write_text("HERE = 1")
print(sorted(name for name in os.environ if name.startswith(("MANYCORE_", "PIP_USER"))))
sys.exit({code})
"""


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Puts a `uv` on the path that notes what it was asked for, and ends with a code."""
    log, uv = tmp_path / "asked", tmp_path / "bin" / "uv"
    monkeypatch.setenv("PATH", str(uv.parent))
    monkeypatch.setenv("MANYCORE_KEY", "a secret")

    def install(code: int) -> Path:
        uv.parent.mkdir(exist_ok=True)
        uv.write_text(f"#!{sys.executable}\n" + INSTALLER.format(log=str(log), code=code))
        uv.chmod(0o700)
        return log

    return install


def test_a_set_is_installed_once(tmp_path: Path, installer: Callable[[int], Path]) -> None:
    log = installer(0)
    for _ in range(2):  # two processes
        store = PackageStore(tmp_path / "packages")
        for _ in range(2):
            assert (store.path(("a==1", "b")) / "module.py").exists()
    assert len(log.read_text().splitlines()) == 1
    assert log.read_text().endswith("a==1 b\n")
    assert (tmp_path / "packages").stat().st_mode & 0o777 == 0o700


def test_one_that_fails_is_told_and_not_tried_again_at_once(
    tmp_path: Path, installer: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = installer(1), PackageStore(tmp_path / "packages")
    for _ in range(3):
        with pytest.raises(PackagesFailed, match=r"The packages a b cannot be had on .*PIP_USER") as caught:
            store.path(("a", "b"))
    assert "MANYCORE_KEY" not in str(caught.value), "what it builds is others' code"
    assert len(log.read_text().splitlines()) == 1
    assert not [path for path in (tmp_path / "packages").iterdir() if path.is_dir()]
    installer(0)
    monkeypatch.setattr(packages, "REMEMBERED_SECONDS", -1.0)
    assert store.path(("a", "b")).is_dir()


def test_one_that_hangs_is_ended(
    tmp_path: Path, installer: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    installer(0)
    uv = Path(os.environ["PATH"], "uv")
    uv.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(packages, "INSTALL_SECONDS", 0.2)
    with pytest.raises(PackagesFailed, match=r"took longer than 0\.2 s"):
        PackageStore(tmp_path / "packages").path(("a",))


def test_what_a_killed_process_left_half_done_is_removed(tmp_path: Path, installer: Callable[[int], Path]) -> None:
    installer(0)
    left = tmp_path / "packages" / "draft-left" / "half"
    left.mkdir(parents=True)
    PackageStore(tmp_path / "packages").path(("a",))
    assert not left.exists()


def test_without_an_installer_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackagesFailed, match="neither uv nor pip"):
        PackageStore(tmp_path / "packages").path(("a",))


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PackagesFailed, match=r"MANYCORE_PACKAGES_FOLDER\): Not a directory"):
        PackageStore(tmp_path / "file" / "packages").path(("a",))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PackagesFailed, match="belongs to another user"):
        PackageStore(tmp_path / "packages").path(("a",))


def test_the_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert packages_folder(load_settings()) == tmp_path / "manycore" / "packages"
    assert packages_folder(load_settings(packages_folder=tmp_path)) == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")

    def none(_: type[Path]) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", classmethod(none))
    assert f"manycore-packages-{os.getuid()}" in str(packages_folder(load_settings()))


def test_no_installer_reads_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `pip.py` beside the program must not be what is run."""
    monkeypatch.setenv("PATH", "")
    (tmp_path / "pip.py").write_text("raise SystemExit('the wrong one')")
    command = packages._installer(tmp_path, tmp_path)
    done = subprocess.run([*command[:4], "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("pip ")
