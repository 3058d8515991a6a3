"""`@task` marks a function and leaves it as it is."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from manycore.task import TaskInfo, task, task_info
from manycore.worker.app import tasks_of


@task
def bare(value: int) -> int:
    return value + 1


@task(name="other.name", fleet="io")
def with_options(value: int) -> int:
    return value + 2


def test_a_task_called_directly_is_the_plain_function() -> None:
    assert (bare(1), with_options(1)) == (2, 3)


def test_its_name_is_its_place() -> None:
    assert task_info(bare) == TaskInfo(f"{__name__}.bare", "cpu")


def test_its_name_and_fleet_can_be_given() -> None:
    assert task_info(with_options) == TaskInfo("other.name", "io")


@pytest.mark.parametrize("other", [len, None, "bare"])
def test_nothing_else_is_a_task(other: Any) -> None:
    assert task_info(other) is None


def test_a_fleet_has_any_name() -> None:
    info = task_info(task(fleet="gpu-2_big")(lambda: 1))
    assert info is not None
    assert info.fleet == "gpu-2_big"


@pytest.mark.parametrize(
    "name",
    ["", " gpu", "g:pu", "1st", "_kombu", "a" * 41, "gpu\n", "größe", "celeryev", "Unacked", "mc", None, 7, ["gpu"]],
)
def test_what_cannot_be_a_queue_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="fleet="):
        task(fleet=name)


def test_a_task_with_two_names_in_its_module_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "also_bare", bare, raising=False)
    assert [function for _, function in tasks_of(sys.modules[__name__])].count(bare) == 1
