"""The health check: the age of one file, and nothing heavy imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import time

import pytest

from workers import probe


@pytest.mark.parametrize(("age", "code"), [(0, 0), (probe.STALE_SECONDS - 5, 0), (probe.STALE_SECONDS + 5, 1)])
def test_a_pulse_is_good_for_half_a_minute(tmp_path: Path, age: float, code: int) -> None:
    pulse = tmp_path / "pulse"
    pulse.touch()
    os.utime(pulse, (time() - age, time() - age))
    ended = subprocess.run(
        [sys.executable, "-m", "workers.probe"], env=os.environ | {"MANYCORE_PULSE_FILE": str(pulse)}, timeout=30
    )
    assert ended.returncode == code


def test_no_pulse_at_all_is_none(tmp_path: Path) -> None:
    assert probe.age(tmp_path / "nothing") == float("inf")


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import workers.probe, sys; print([m for m in ('celery', 'redis', 'pydantic', 'manycore') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30).stdout == "[]\n"
