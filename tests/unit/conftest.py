"""Hypothesis without clocks: a busy machine must not fail a test. The black box of runs, and a folder for modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from manycore.worker.blackbox import BlackBox
from tests.runs import chunk_of

settings.register_profile("manycore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("manycore")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlackBox]:
    opened = BlackBox(tmp_path_factory.mktemp("box"))
    opened.begin(chunk_of(0, 9), "c/1")
    yield opened
    opened.trace.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path whose modules are gone from this process afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
