"""What goes wrong with code that travels, by what people have reported of other tools, and of ordinary odd projects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Server, serving, workers_of
from tests.programs import run, write
from tests.reported import REPORTED


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server and a worker for all of them: each program is a client with other modules."""
    home = tmp_path_factory.mktemp("elsewhere")
    with serving(home) as server, workers_of(server, home) as start:
        start(slots=2)
        yield server


@pytest.mark.parametrize("name", REPORTED)
def test_it_runs_here(name: str, elsewhere: Server, tmp_path: Path) -> None:
    files, command, printed = REPORTED[name]
    folder = write(tmp_path / "project", files)
    assert run(folder, *command, MANYCORE_URL=elsewhere.url, MANYCORE_KEY=elsewhere.key) == printed
