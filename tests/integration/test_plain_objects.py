"""A plain Celery call asks for large objects, too, and lets go of them as it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manycore import Cluster
from manycore.plain import celery_app
from tests.integration.conftest import Server


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_a_plain_call_asked_for_is_mapped_no_longer_than_the_call_lasts(
    pool: str,
    server: Server,
    start_worker: Callable[..., object],
    connect: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MANYCORE_URL", server.url)
    start_worker("--pool", pool, tasks="tests.mapped")
    cluster = connect()
    refs: list[Any] = [cluster.put(np.full(1 << 17, n)) for n in range(3)]
    app = celery_app()
    calls = [app.send_task("tests.mapped.mapped", (ref,), queue="cpu") for ref in refs]
    assert [call.get(timeout=30) for call in calls] == [(0, 1)] * 3
