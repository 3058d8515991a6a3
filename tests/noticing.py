"""For workers of tests: leaves a file, named by its task, for each failure that Celery's signal tells of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import task_failure

FOLDER = "TEST_NOTICED"
"""The environment variable that says where."""


@task_failure.connect
def notice(task_id: str, exception: BaseException, **_: Any) -> None:
    unseen = Path(os.environ[FOLDER], f"{task_id}.unseen")
    unseen.write_text(type(exception).__name__)
    unseen.rename(unseen.with_suffix(""))
