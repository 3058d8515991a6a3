"""What Flower shows of a chunk: short, and whose it is, also if Flower has missed a part of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ops.flower.display import UNSEEN, readable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (("night.0f", "f", "items 0-9 of 10, batch night", "'9 ok'"), ("f", "items 0-9 of 10", "9 ok")),
        (("night.0f", "f", "item 3, batch night, attempt 2", None), ("f", "item 3, attempt 2", None)),
        (("night.0f", None, None, "'10 ok'"), (UNSEEN, None, "10 ok")),
        (("8d2c-aa", "plain", "(1, 'batch 8d2c')", "42"), ("plain", "(1, 'batch 8d2c')", "42")),
    ],
)  # fmt: skip
def test_a_task(said: tuple[str | None, ...], shown: tuple[str | None, ...]) -> None:
    task = readable(SimpleNamespace(**dict(zip(("uuid", "name", "args", "result"), said, strict=True))))
    assert (task.name, task.args, task.result) == shown
