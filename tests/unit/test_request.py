"""`cause_of` reads how a child died out of billiard's message."""

from __future__ import annotations

import pytest
from billiard.common import human_status
from billiard.exceptions import WorkerLostError

from manycore.worker.parent.request import cause_of


@pytest.mark.parametrize(
    ("status", "cause"),
    [(-9, "signal 9 (SIGKILL)"), (-11, "signal 11 (SIGSEGV)"), (3, "exit code 3"), (0, "exit code 0")],
)
@pytest.mark.parametrize("text", ["Worker exited prematurely: {} Job: 17.", "Worker exited prematurely: {}."])
def test_signals_and_exit_codes_are_named(text: str, status: int, cause: str) -> None:
    assert cause_of(WorkerLostError(text.format(human_status(status)))) == cause


def test_another_message_is_kept() -> None:
    assert cause_of(WorkerLostError("Could not start worker processes")) == "Could not start worker processes"
