"""`Cluster` refuses what cannot work before it starts anything."""

from __future__ import annotations

from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import SettingsError


@pytest.mark.parametrize("workers", [0, -1, 1.5, 2.0, "2", True, 10**6])
def test_a_local_cluster_needs_a_worker(workers: Any) -> None:
    with pytest.raises(SettingsError, match="give the number of worker processes"):
        Cluster(workers=workers)
