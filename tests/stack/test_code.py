"""What runs on the laptop runs on the stack, whatever the laptop's Python is, and in the next second."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches, reload
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from manycore import Cluster
from manycore.errors import VersionMismatch
from tests.documents import ROOT
from tests.integration.test_examples import promised_output
from tests.programs import HELPER, MYLIB, PRINTS, PROGRAMS, SCRIPT, run, two_clients, write
from tests.required import missing
from tests.stack.pythons import IMAGE, MINORS, OURS, client, interpreter
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(240)
EDITS = 20


@pytest.fixture(params=MINORS)
def python(request: pytest.FixtureRequest) -> Path:
    """Each Python of this machine; there must be one that is not the image's."""
    if interpreter(request.param) is None:
        if sum(interpreter(minor) is not None for minor in MINORS) < 2:
            missing("there is one Python only")
        pytest.skip(f"there is no Python {request.param}")
    return client(request.param)


def test_the_quickstart_of_a_clone_prints_what_it_says(stack: Stack, python: Path) -> None:
    said = run(ROOT, "examples/quickstart.py", python=python, PYTHONPATH=str(ROOT), **stack.client_environment())
    assert said == promised_output((ROOT / "examples/quickstart.py").read_text())


def test_modules_beside_a_script_of_any_python_go_along(stack: Stack, python: Path, tmp_path: Path) -> None:
    write(tmp_path, {"script.py": SCRIPT, "mylib.py": MYLIB, "helper_of_mylib.py": HELPER})
    assert run(tmp_path, "script.py", python=python, PYTHONPATH=str(ROOT), **stack.client_environment()) == PRINTS


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_unchanged(stack: Stack, name: str, tmp_path: Path) -> None:
    files, command = PROGRAMS[name]
    assert PRINTS in run(write(tmp_path, files), *command, **stack.client_environment())


def test_two_clients_with_different_code_of_one_name_never_meet(stack: Stack, tmp_path: Path) -> None:
    assert two_clients(tmp_path, 200, stack.client_environment()) == {"left": "left\n", "right": "right\n"}


@pytest.mark.parametrize("fleet", ["cpu", "io"])
def test_a_batch_has_the_packages_that_it_asks_for(connected: Cluster, fleet: str) -> None:
    """Of an index that is a folder of wheels; others do not see them, on processes and on threads."""

    def version(_: int) -> str:
        try:
            import asked_for  # type: ignore[import-not-found]
        except ImportError:
            return "none"
        return str(asked_for.VERSION)

    for asked, expected in {("asked_for==1.*",): "1.1", (): "none", ("asked_for==1.0",): "1.0"}.items():
        assert set(connected.batch(version, range(20), fleet=fleet, packages=asked).gather()) == {expected}


@pytest.mark.skipif(OURS == IMAGE, reason="byte code runs there")
def test_what_has_no_source_says_which_command_cures_it(connected: Cluster) -> None:
    there: dict[str, object] = {}
    exec("def made(n): return n", there)
    with pytest.raises(VersionMismatch, match=rf"made .* which Python {IMAGE} cannot run.* run `manycore up` with it"):
        connected.batch(there["made"], [1])  # type: ignore[arg-type]


def test_env_names_the_fleets(stack: Stack) -> None:
    said = stack.command("env", "--secrets", str(stack.runs / "secrets"))
    assert f"# fleet cpu: {len(os.sched_getaffinity(0))} slots of 1 worker, Python {IMAGE}" in said
    assert "# fleet io: " in said


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    sys.modules.pop("edited_lib", None)


def test_twenty_edits_are_each_seen_by_every_slot_in_the_next_batch(connected: Cluster, folder: Path) -> None:
    seconds, processes = [], set()
    for edit in range(EDITS):
        path = folder / "edited_lib.py"
        path.write_text(f"import os, time\n\ndef f(n):\n    time.sleep(0.03)\n    return {edit}, os.getpid()\n")
        edited = perf_counter()
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        invalidate_caches()
        lib = reload(sys.modules["edited_lib"]) if edit else import_module("edited_lib")
        batch = connected.batch(lib.f, range(8))
        next(batch.as_completed())
        seconds.append(perf_counter() - edited)
        values = batch.gather()
        assert {value for value, _ in values} == {edit}
        processes.add(frozenset(pid for _, pid in values))
    print(f"from edit to first result, median of {EDITS}: {median(seconds):.3f} s")
    assert all(len(found) == len(frozenset.union(*processes)) for found in processes), "every slot took part"
    assert median(seconds) < 0.5
