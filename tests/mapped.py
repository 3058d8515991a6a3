"""A task that says how many large objects its process has mapped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from manycore import Ref, task


@task
def mapped(ref: Ref[Any]) -> tuple[int, int]:
    """Before it asks for one, and then."""
    before = _mapped_here()
    held = ref.get()
    return before, _mapped_here() if held is not None else 0


def _mapped_here() -> int:
    home = f"/manycore-{os.geteuid()}-"
    return sum(home in line for line in Path("/proc/self/maps").read_text().splitlines())
