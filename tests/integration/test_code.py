"""What runs here runs on the cluster: the caller's own modules travel, and are what they were at the call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from types import ModuleType
from typing import Any

import pytest

from manycore import Cluster, Code
from manycore.client.edits import MANY_FILES, MANY_LOOKS
from manycore.errors import FunctionsNotAllowed, NotUnpicklable, WorkerCrashed
from tests.integration.conftest import Server
from tests.programs import PRINTS, PROGRAMS, run, two_clients, write

StartWorker = Callable[..., Any]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("where", ["local cluster", "at an address"])
def test_a_program_runs_unchanged(
    name: str, where: str, server: Server, start_worker: StartWorker, tmp_path: Path
) -> None:
    files, command = PROGRAMS[name]
    folder = write(tmp_path / "project", files)
    env = {}
    if where == "at an address":
        start_worker(slots=2)
        env = {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key}
    assert PRINTS in run(folder, *command, **env)


def helper_of_this_test(number: int) -> int:
    return number + 1


def test_a_function_of_a_test_module_runs(start_worker: StartWorker, connect: Callable[..., Cluster]) -> None:
    """pytest imports it under a name that no worker could import."""
    start_worker()
    assert connect().submit(helper_of_this_test, 1).result(timeout=20) == 2


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Write `edited.py` anew, and import what it says now."""
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    path = tmp_path / "project" / "edited.py"
    path.parent.mkdir()

    def edit(text: str) -> ModuleType:
        path.write_text(text)
        made = ModuleType("edited")
        made.__file__ = str(path)
        exec(compile(text, str(path), "exec"), vars(made))
        monkeypatch.setitem(sys.modules, "edited", made)
        return made

    return edit


@pytest.mark.slow
def test_twenty_edits_are_each_seen_by_every_slot_at_once(
    start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType]
) -> None:
    start_worker(slots=2)
    cluster = connect()
    times = []
    for edit in range(20):
        version = module(f"import os, time\ndef f(n):\n    time.sleep(0.01)\n    return {edit}, os.getpid()\n")
        before = perf_counter()
        batch = cluster.batch(version.f, range(12))
        next(batch.as_completed())
        times.append(perf_counter() - before)
        assert {value for value, _ in batch.gather()} == {edit}
    print(f"from edit to first result: {median(times):.3f} s")


def test_an_edit_is_seen_by_the_next_of_many_calls(
    start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """Of which each looks for edits, in a project of many modules."""
    start_worker()
    cluster = connect()
    helpers = {f"helper_{number}.py": "" for number in range(MANY_FILES)}
    helpers["helper_0.py"] = "ANSWER = 0\n"
    write(tmp_path / "project", helpers)
    imports = "".join(f"import helper_{number}\n" for number in range(MANY_FILES))
    function = module(f"{imports}def f():\n    return helper_0.ANSWER\n").f
    for answer in (0, 11, 222):
        (tmp_path / "project/helper_0.py").write_text(f"ANSWER = {answer}\n")
        assert {cluster.submit(function).result(timeout=20) for _ in range(3 * MANY_LOOKS)} == {answer}


def test_what_a_cleaner_took_of_the_code_is_there_again(
    start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """The folder stays, without its files: every process that began later ended its items in ModuleNotFoundError."""
    start_worker(slots=1)
    cluster = connect()
    version = module("import os\ndef f(n):\n    return n or os.kill(os.getpid(), 9)\n")
    assert cluster.submit(version.f, 1).result(timeout=20) == 1
    (file,) = tmp_path.glob("manycore-worker-*/code/*/edited.py")
    file.unlink()
    with pytest.raises(WorkerCrashed):
        cluster.submit(version.f, 0).result(timeout=20)
    assert cluster.submit(version.f, 2).result(timeout=20) == 2


def test_a_batch_under_way_goes_on_with_its_own_code(
    start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType]
) -> None:
    start_worker()
    cluster = connect()
    first = cluster.batch(module("import time\ndef f(n):\n    time.sleep(0.02)\n    return 1\n").f, range(30))
    second = cluster.batch(module("def f(n):\n    return 2\n").f, range(30))
    assert (set(first.gather()), set(second.gather())) == ({1}, {2})


@pytest.mark.slow
def test_two_clients_with_different_code_of_one_name_never_meet(
    server: Server, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker(slots=2)
    env = {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key}
    assert two_clients(tmp_path, 200, env) == {"left": "left\n", "right": "right\n"}


DATA = """
import importlib, pathlib
from importlib import resources
LEVEL = 1
def read(n):
    here, there = pathlib.Path(__file__).parent / "data/a.txt", resources.files("plugins") / "b.txt"
    return here.read_text(), there.read_text(), importlib.import_module("plugins.one").ONE, LEVEL
"""


def test_data_files_travel_if_they_are_asked_for(
    server: Server, start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType]
) -> None:
    """So do modules that are named in a string only; what the client has changed in a module stays there."""
    start_worker()
    version = module(DATA)
    version.LEVEL = 3  # type: ignore[attr-defined]
    files = {"data/a.txt": "hello", "plugins/one.py": "ONE = 1", "plugins/b.txt": "there", "data/not.this": ""}
    write(Path(str(version.__file__)).parent, files)
    connect()
    with Cluster(server.url, code=Code(include=["data/*.txt", "plugins/*"])) as cluster:
        assert cluster.submit(version.read, 0).result(timeout=20) == ("hello", "there", 1, 1)


def test_without_code_it_is_said_what_is_missing(
    server: Server, start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType]
) -> None:
    """Though another batch of these modules has just run in the same process."""
    start_worker()
    version = module("def f(n):\n    return n\n")
    assert connect().submit(version.f, 1).result(timeout=20) == 1
    with Cluster(server.url, code="off") as cluster, pytest.raises(NotUnpicklable, match="No module named 'edited'"):
        cluster.submit(version.f, 1).result(timeout=20)


def test_what_the_workers_python_cannot_read_is_a_clear_error(
    start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType]
) -> None:
    start_worker()
    version = module("def f(n):\n    return n\n")
    Path(str(version.__file__)).write_text("def f(n):\n    return n ?? 0\n")
    with pytest.raises(NotUnpicklable, match=r"Python 3\.\d+\).*SyntaxError"):
        connect().submit(version.f, 1).result(timeout=20)


def test_workers_of_registered_tasks_only_refuse_it(
    server: Server, start_worker: StartWorker, connect: Callable[..., Cluster], module: Callable[[str], ModuleType]
) -> None:
    start_worker(allow_functions="0", tasks="tests.functions")
    cluster = connect()
    with pytest.raises(FunctionsNotAllowed):
        cluster.submit(module("def f(n):\n    return n\n").f, 1).result(timeout=20)
