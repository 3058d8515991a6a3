"""In which state its summary leaves a chunk in Flower."""

from __future__ import annotations

import pytest

from manycore.worker.summary import Summary, ending


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("500 ok", "task-succeeded"),
        ("250 ok, 250 given away", "task-succeeded"),
        ("498 ok, 2 failed", "task-failed"),
        ("0 ok, 10 failed, 3 cancelled", "task-failed"),
        ("refused: The message was refused: its payload has 0 failed", "task-failed"),
        ("0 ok, 125 cancelled", "task-revoked"),
        ("12 ok, 125 cancelled", "task-succeeded"),
        ("0 ok", "task-succeeded"),
        ("", "task-succeeded"),
    ],
)
def test_what_flower_is_told(text: str, event: str) -> None:
    assert ending(text) == event


def test_its_repr_has_no_quotes() -> None:
    assert repr(Summary("5 ok")) == "5 ok"
