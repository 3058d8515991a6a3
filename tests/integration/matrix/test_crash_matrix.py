"""The crash matrix: whatever goes wrong with an item, wherever, through whichever door, on whichever fleet.

`table` says what its caller gets. In every cell: one outcome in bounded time, the neighbours have theirs, the next call
runs; and no message, key or process is left. Cells run side by side, those that kill a worker of threads on one each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.plain import celery_app
from manycore.protocol.signing import generate_key
from tests.integration.matrix import client
from tests.integration.matrix.doors import BOUND_SECONDS, DOORS, FUNCTIONS, Got
from tests.integration.matrix.sites import ROOT, Sites
from tests.integration.matrix.table import CELLS, Cell
from tests.integration.matrix.trouble import EXIT_CODE, VALUE, Trouble, held

SIDE_BY_SIDE = 6
QUICK = {"submit": ("run", "receive", "callback"), "map": ("rebuild", "input"), "batch": ("pickle",)}
"""What `make test` looks at, on the fleet of processes; the other cells are slow."""
SLOW_FAULTS = ("hang", "hang in C", "SIGSEGV")


def cells() -> list[Any]:
    there = [cell for cell in CELLS if cell.promise != "-"]
    there.sort(key=lambda cell: not (cell.deadly and cell.fleet == "io"))  # what takes longest begins first
    return [pytest.param(cell, id=str(cell), marks=marks(cell)) for cell in there]


def marks(cell: Cell) -> list[Any]:
    quick = cell.place in QUICK.get(cell.door, ()) and cell.fleet == "cpu" and cell.fault not in SLOW_FAULTS
    return [] if quick else [pytest.mark.slow]


class UnderWay:
    """Runs the cells that come next beside the one that is asked for. No more: processes of pytest share the cells."""

    def __init__(self, begin: Callable[[Cell], Future[None]], cells: Sequence[Cell]) -> None:
        self._begin = begin
        self._cells = cells
        self._begun: dict[Cell, Future[None]] = {}

    def result(self, cell: Cell) -> None:
        place = self._cells.index(cell)
        for each in self._cells[place : place + SIDE_BY_SIDE]:
            if each not in self._begun:
                self._begun[each] = self._begin(each)
        self._begun[cell].result()


@pytest.fixture(autouse=True)
def no_ambient_settings() -> None:
    """Not here: cells run on threads, across tests, in the environment of the whole module."""


@pytest.fixture(scope="module")
def under_way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnderWay]:
    """The chosen cells."""
    chosen = [
        item.callspec.params["cell"]
        for item in request.session.items
        if hasattr(item, "callspec") and isinstance(item.callspec.params.get("cell"), Cell)
    ]
    folder = tmp_path_factory.mktemp("m")
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("MANYCORE_")]:
            environment.delenv(name)
        environment.setenv("MANYCORE_KEY", key := generate_key())
        sites = Sites(folder, key)
        try:
            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                yield UnderWay(lambda cell: pool.submit(run, cell, sites, folder), chosen)
                pool.shutdown(cancel_futures=True)
        finally:
            sites.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", cells())
def test_cell(cell: Cell, under_way: UnderWay) -> None:
    under_way.result(cell)


@pytest.mark.parametrize("reason", sorted({cell.reason for cell in CELLS if cell.promise == "-"}))
def test_what_is_no_cell_says_why(reason: str) -> None:
    assert reason


def run(cell: Cell, sites: Sites, folder: Path) -> None:
    trouble = Trouble(cell.place, cell.fault, str(folder / str(cell)))
    Path(trouble.flag).touch()
    Path(held(trouble)).touch()
    with sites.lend(cell) as site:
        with client_of(cell, site.url) as caller:
            if cell.promise == "client_ends":
                check_end(cell, trouble, site.url)
            else:
                check(cell, DOORS[cell.door](caller, cell.fleet, trouble, in_vain=cell.in_vain))
            Path(trouble.flag).unlink(missing_ok=True)
            if cell.door != "plain":
                assert caller.submit(FUNCTIONS[cell.fleet], 5).result(BOUND_SECONDS) == 50, "the next call"
        if cell.door == "plain":  # another client: this one may have the bad result before it still
            with client_of(cell, site.url) as caller:
                name = f"{FUNCTIONS['cpu'].__module__}.on_{cell.fleet}"
                assert caller.send_task(name, (5,), queue=cell.fleet).get(BOUND_SECONDS) == 50, "the next call"


def check(cell: Cell, got: Got) -> None:
    assert got.good == [10, 20, 30], got
    assert (got.bad if isinstance(got.bad, str) else type(got.bad).__name__) == cell.promise, got
    if cell.in_vain and cell.door != "map":
        assert got.late == VALUE, got


def check_end(cell: Cell, trouble: Trouble, url: str) -> None:
    command = [sys.executable, "-m", client.__name__, cell.door, cell.fleet, cell.place, cell.fault, trouble.flag]
    names = [name for name in os.environ if name != "PYTEST_CURRENT_TEST"]  # which pytest takes away at any moment
    environment = {name: os.environ[name] for name in names} | {"MANYCORE_URL": url, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BOUND_SECONDS)
    assert ended.returncode == (EXIT_CODE if cell.fault == "os._exit" else -signal.SIGSEGV), ended


_environment = threading.Lock()


@contextmanager
def client_of(cell: Cell, url: str) -> Iterator[Any]:
    if cell.door != "plain":
        with Cluster(url) as cluster:
            yield cluster
        return
    with _environment, pytest.MonkeyPatch.context() as environment:
        environment.setenv("MANYCORE_URL", url)
        app = celery_app()
    yield app
