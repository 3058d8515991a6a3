"""Packages that a worker has beside its own: those that it was started with, and those that a batch asks for.

Each set of them is installed once a host, by uv if it is there, else by pip, into a folder of its own. It only adds:
what the worker has itself stays as it is, and a set that would need it in another version cannot be installed.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from importlib.metadata import distributions
from pathlib import Path
from time import time

from manycore.errors import PackagesFailed
from manycore.protocol.requirements import requirements_of
from manycore.protocol.settings import Settings
from manycore.worker.store import Store

KEPT_BYTES = 4 * 1024 * 1024 * 1024
INSTALL_SECONDS = 600.0
"""How long one set may take. Who needs it waits so long, and no item of the batch has begun."""
REMEMBERED_SECONDS = 30.0
"""How long a set that could not be installed is not tried again: each chunk of a batch asks for it."""
SHOWN_CHARACTERS = 1_000
"""Of what the installer said last."""
NEUTRAL = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
"""What people set for their own use of pip, and what does not go with a folder of its own."""
_PINNED = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+")


class PackageStore(Store):
    """The sets of packages of one host. Everything that goes wrong is a `PackagesFailed`."""

    def kept_bytes(self) -> int:
        return KEPT_BYTES

    def path(self, packages: tuple[str, ...]) -> Path:
        """The folder with these packages, which are installed if it is not there."""
        digest, failed = digest_of(packages), self._folder / f"{digest_of(packages)}.failed"
        try:
            self._check_owner()
            if self._has_failed(failed):
                raise PackagesFailed(" ".join(packages), platform.node(), failed.read_text())
            return self.place(digest, lambda draft: self._install(packages, draft, failed))
        except OSError as exc:
            why = f"{self._folder} (MANYCORE_PACKAGES_FOLDER): {exc.strerror or exc}"
            raise PackagesFailed(" ".join(packages), platform.node(), why) from exc

    def _check_owner(self) -> None:
        """What is imported from must be nobody else's to write."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it belongs to another user")

    def _has_failed(self, failed: Path) -> bool:
        return failed.exists() and time() - failed.stat().st_mtime < REMEMBERED_SECONDS

    def _install(self, packages: tuple[str, ...], draft: Path, failed: Path) -> None:
        if self._has_failed(failed):  # while this process waited for another one's try
            raise PackagesFailed(" ".join(packages), platform.node(), failed.read_text())
        constraints = self._folder / f"{failed.stem}.constraints"
        constraints.write_text("\n".join(_present()))
        try:
            _run([*_installer(draft, constraints), *packages])
        except _Failed as exc:
            failed.write_text(str(exc))
            raise PackagesFailed(" ".join(packages), platform.node(), str(exc)) from None
        finally:
            constraints.unlink(missing_ok=True)
        failed.unlink(missing_ok=True)


class _Failed(Exception):
    """The installer did not do it; says why."""


def digest_of(packages: tuple[str, ...]) -> str:
    """Under which a set is kept: compiled packages are for one Python and one kind of machine."""
    kind = (sys.implementation.cache_tag, platform.machine(), platform.libc_ver()[0], *packages)
    return blake2b(repr(kind).encode(), digest_size=16).hexdigest()


def _installer(target: Path, constraints: Path) -> list[str]:
    options = ["--quiet", "--target", str(target), "--constraint", str(constraints)]
    uv, pip = shutil.which("uv"), shutil.which("pip")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable, *options]
    quiet = ["--disable-pip-version-check", "--no-input", "install"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip", *quiet, *options]
    if pip is not None:
        return [pip, "--python", sys.executable, *quiet, *options]
    raise _Failed("there is neither uv nor pip")


def _present() -> Iterator[str]:
    """What the worker has itself, pinned."""
    for found in distributions():
        pin = f"{found.metadata['Name']}=={found.version}"
        if _PINNED.fullmatch(pin):
            yield pin


def _run(command: list[str]) -> None:
    """Run the installer, without our own settings: what it builds is others' code. Raises `_Failed`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")} | NEUTRAL
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=INSTALL_SECONDS)
        except BaseException as exc:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(exc, subprocess.TimeoutExpired):
                raise _Failed(f"it took longer than {INSTALL_SECONDS:g} s") from None
            raise
    if process.returncode != 0:
        raise _Failed(said.strip()[-SHOWN_CHARACTERS:] or f"{Path(command[0]).name} ended with {process.returncode}")


def packages_folder(settings: Settings) -> Path:
    """Where the packages of this host are: for all workers that one user runs on it."""
    if settings.packages_folder is not None:
        return settings.packages_folder
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir(), f"manycore-packages-{os.getuid()}")
    return cache / "manycore" / "packages"


def have_extra(settings: Settings) -> None:
    """Let this process import what `MANYCORE_EXTRA_PACKAGES` names. Raises `PackagesFailed` or `SettingsError`."""
    packages = requirements_of(settings.extra_packages)
    if packages:
        sys.path.append(str(PackageStore(packages_folder(settings)).path(packages)))
        importlib.invalidate_caches()
