"""Hypothesis without clocks: a busy machine must not fail a test. And the black box that runs need."""

from __future__ import annotations

from collections.abc import Iterator

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
