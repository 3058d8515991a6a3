"""The watchdog of these tests, in a run of pytest of its own: what hangs says where, and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT

pytestmark = pytest.mark.slow

HEAD = """
import itertools
import threading
from collections.abc import Iterator

import pytest

from manycore import Cluster
import tests.watchdog
from tests.functions import busy

tests.watchdog.GRACE_SECONDS = 3.0
tests.watchdog.LEFT_SECONDS = 1.0

"""
IN_A_WORKER = """
cluster = Cluster(workers=1)
cluster.submit(abs, 1).result()

def test_hangs() -> None:
    cluster.submit(busy, 600).result()
"""
IN_C = """
def test_hangs() -> None:
    sum(itertools.repeat(1))
"""
IN_TEARDOWN = """
@pytest.fixture
def fixture() -> Iterator[None]:
    yield
    threading.Event().wait()

def test_hangs(fixture: None) -> None:
    threading.Event().wait()
"""
AT_EXIT = """
def test_passes() -> None:
    threading.Thread(target=threading.Event().wait).start()
"""


def run(folder: Path, test: str, *options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(HEAD + test)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=3", *options, str(folder)]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=55
    )
    return done.returncode, done.stdout + done.stderr


def test_a_test_that_hangs_shows_the_stacks_of_its_workers_too(tmp_path: Path) -> None:
    code, output = run(tmp_path, IN_A_WORKER)
    assert code == 1
    assert "Processes of a test that hangs" in output
    assert "in busy" in output, "where the worker's child is"
    assert output.count("Current thread") >= 2, "of the worker and its child"


def test_in_several_processes_what_hangs_ends_its_own_and_fails(tmp_path: Path) -> None:
    code, output = run(tmp_path, IN_C + AT_EXIT, "-n2")
    assert code == 1
    assert "crashed while running 'test_it.py::test_hangs'" in output
    assert "in test_hangs" in output.partition("Timeout (")[2]
    assert "Python would wait for <Thread" in output
    assert "1 failed, 1 passed, 1 error" in output


@pytest.mark.parametrize(
    ("test", "where"),
    [(IN_C, "in test_hangs"), (IN_TEARDOWN, "in fixture"), (AT_EXIT, "in wait")],
    ids=["in C", "in teardown", "at exit"],
)
def test_what_a_failure_cannot_end_ends_the_run(tmp_path: Path, test: str, where: str) -> None:
    code, output = run(tmp_path, test)
    assert code == 1
    assert "Timeout (" in output
    assert where in output.rpartition("Timeout (")[2]
