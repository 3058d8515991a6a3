"""The Pythons of this machine, each with what a client needs: a user's is not the image's."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.stack.stack import ROOT

IMAGE = "3.13"
"""That of the stack under test."""
MINORS = ("3.11", "3.12", "3.13", "3.14")
OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"


@cache
def interpreter(minor: str) -> Path | None:
    """A Python of this version, None if there is none."""
    if minor == OURS:
        return Path(sys.executable)
    there = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"))
    found = shutil.which(f"python{minor}")
    return there[-1] if there else Path(found) if found else None


@cache
def client(minor: str) -> Path:
    """A Python of this version with the locked packages; manycore itself is in the repository."""
    python = interpreter(minor)
    assert python is not None
    if minor == OURS:
        return python
    venv = Path(mkdtemp(prefix=f"manycore-client-{minor}-"))
    atexit.register(shutil.rmtree, venv, ignore_errors=True)
    subprocess.run([python, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    pip = f"{sys.executable} -m pip --python {venv}/bin/python -qq --disable-pip-version-check install".split()
    lock = f"--no-deps --no-compile --require-hashes -r {ROOT}/ops/docker/requirements.txt".split()
    subprocess.run([*pip, *lock], check=True, timeout=200)
    return venv / "bin/python"
