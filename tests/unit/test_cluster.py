"""`Cluster` refuses what cannot work before it starts anything."""

from __future__ import annotations

from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import SettingsError


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_a_local_cluster_needs_a_worker(workers: Any) -> None:
    with pytest.raises(SettingsError, match="needs at least one worker process"):
        Cluster(workers=workers)
