"""What items print, log and warn reaches whoever asks: with the outcome, as a whole, and while it is written."""

from __future__ import annotations

import copy
import logging
import logging.config
import os
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from manycore import Cluster, task
from manycore.errors import InitializerFailed
from manycore.protocol import keys
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., subprocess.Popen[bytes]]
Connect = Callable[..., Cluster]


def say(number: int) -> int:
    print("item", number)
    print("to errors", file=sys.stderr)
    logging.getLogger("of.the.user").warning("logged %d", number)
    logging.getLogger("of.the.user").info("below the level of the worker")
    warnings.warn(f"warned {number}, {uuid4()}", stacklevel=1)  # Python shows what a process has warned of once
    return number


def written(outcome: Any, stream: str) -> str:
    return "".join(line.text for line in outcome.logs if line.stream == stream)


def test_an_outcome_has_what_its_item_wrote(cluster: Cluster) -> None:
    outcomes = list(cluster.batch(say, range(20)).as_completed())
    assert {outcome.index: outcome.stdout for outcome in outcomes} == {n: f"item {n}\n" for n in range(20)}
    for outcome in outcomes:
        assert written(outcome, "stderr") == "to errors\n"
        first, second = (line for line in outcome.logs if line.stream == "log")
        assert (first.text, first.level, first.logger) == (f"logged {outcome.index}\n", "WARNING", "of.the.user")
        assert f"UserWarning: warned {outcome.index}" in second.text
        assert {(line.attempt, line.worker) for line in outcome.logs} == {(1, outcome.worker)}
        assert all(abs(line.time - time.time()) < 60 for line in outcome.logs)


def test_a_batch_has_the_lines_of_all_and_of_one(cluster: Cluster) -> None:
    batch = cluster.batch(say, range(5))
    batch.wait()
    lines = [line for line in batch.logs() if line.stream == "stdout"]
    assert sorted(line.text for line in lines) == [f"item {n}\n" for n in range(5)]
    assert [line.text for line in batch.logs(index=3) if line.stream == "stdout"] == ["item 3\n"]


def test_lines_come_while_their_item_runs(cluster: Cluster, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def slowly(_: int) -> None:
        print("begun")
        while not go.exists():
            time.sleep(0.01)
        print("ended", end="")

    batch = cluster.batch(slowly, [0])
    lines = batch.logs(follow=True)
    assert next(lines).text == "begun\n"
    assert not batch.wait(0)
    go.touch()
    assert [line.text for line in lines] == ["ended"]


def test_attempts_are_told_apart(cluster: Cluster, tmp_path: Path) -> None:
    def first_fails(_: int) -> None:
        print("again" if (tmp_path / "tried").exists() else "first")
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            raise OSError

    (outcome,) = cluster.batch(first_fails, [0], retries=1, backoff=0.0).as_completed()
    assert outcome.stdout == "again\n"
    assert [(line.attempt, line.text) for line in outcome.logs] == [(1, "first\n"), (2, "again\n")]


@pytest.mark.slow
def test_many_lines_stay_within_the_bounds_of_items_and_batch(cluster: Cluster) -> None:
    def many(_: int) -> None:
        print(*range(10_000), sep="\n")

    batch = cluster.batch(many, range(40))
    assert batch.gather() == [None] * 40
    redis: Any = Probe(cluster).redis
    entries = redis.xrange(keys.log(batch.id))
    assert sum(len(fields[b"l"]) for _, fields in entries) <= 1024 * 1024
    lines = list(batch.logs())
    assert lines[0].text.endswith("bytes of older output left out]\n")
    last = [line.index for line in lines if line.stream == "stdout" and line.text == "9999\n"]
    assert len(last) > 5
    kept = sum(len(line.text) for line in lines if line.index == last[-1])
    assert 10_000 < kept < 64 * 1024 + 100
    assert 0 < redis.ttl(keys.log(batch.id)) <= 3600
    assert redis.ttl(keys.LOGS) > 0


def test_items_that_write_nothing_leave_no_log(cluster: Cluster) -> None:
    batch = cluster.batch(abs, range(1000))
    batch.gather()
    assert list(batch.logs(follow=True)) == []
    assert not Probe(cluster).redis.exists(keys.log(batch.id))


def test_a_deleted_batch_has_no_log(cluster: Cluster) -> None:
    batch = cluster.batch(say, [0])
    batch.wait()
    assert Probe(cluster).redis.exists(keys.log(batch.id))
    batch.delete()
    assert list(batch.logs()) == []


def test_a_copy_of_an_outcome_is_without(cluster: Cluster) -> None:
    (outcome,) = cluster.batch(say, [0]).as_completed()
    assert asdict(outcome)["value"] == 0
    for copied in (pickle.loads(pickle.dumps(outcome)), copy.deepcopy(outcome), replace(outcome)):
        assert (copied, copied.stdout, copied.logs) == (outcome, "", ())


def test_what_somebody_else_wrote_there_is_left_out(cluster: Cluster) -> None:
    batch = cluster.batch(say, [0])
    batch.wait()
    redis = Probe(cluster).redis
    for junk in (
        b"",
        b"[]",
        b"{",
        b'{"r":1,"s":1,"w":"","n":1,"p":[[0,1,"nowhere",""]]}',
        b'{"s":"\xff"}',
        b"[" * 9999,
    ):
        redis.xadd(keys.log(batch.id), {b"l": junk, b"b": b"x"})
    redis.xadd(keys.log(batch.id), {b"other": b"1"})
    assert "".join(line.text for line in batch.logs() if line.stream == "stdout") == "item 0\n"


def test_a_key_of_another_type_in_its_place_is_taken_away(cluster: Cluster, tmp_path: Path) -> None:
    def speak(_: int) -> None:
        wait_until((tmp_path / "go").exists, "it may speak")
        print("spoken")

    batch = cluster.batch(speak, [0])
    redis = Probe(cluster).redis
    for key in (keys.log(batch.id), keys.LOGS):
        redis.delete(key)
        redis.set(key, b"junk", ex=600)
    (tmp_path / "go").touch()
    (outcome,) = batch.as_completed()
    wait_until(lambda: redis.type(keys.log(batch.id)) == b"stream", "what could not be written is sent again")
    assert outcome.stdout == "spoken\n"


def prepare(words: str, *, failing: bool = False) -> None:
    print(words)
    if failing:
        raise LookupError(words)


@pytest.mark.parametrize("failing", [False, True])
def test_what_an_initializer_writes_is_the_batchs(cluster: Cluster, failing: bool) -> None:
    words = f"made ready {failing}"
    batch = cluster.batch(abs, [1], initializer=partial(prepare, failing=failing), initargs=(words,))
    with suppress(InitializerFailed):
        batch.gather()
    assert [(line.index, line.text) for line in batch.logs() if line.stream == "stdout"] == [(None, f"{words}\n")]


@task(fleet="io")
def meanwhile(number: int) -> None:
    """Items side by side in one process: each has what its own thread wrote."""
    for _ in range(5):
        print("of", number)
        time.sleep(0.01)


def test_side_by_side_in_one_process_each_item_has_its_own(start_worker: StartWorker, connect: Connect) -> None:
    start_worker("--pool", "threads", "--queue", "io", slots=4, tasks=__name__)
    outcomes = list(connect().batch(meanwhile, range(8)).as_completed())
    assert {outcome.index: outcome.stdout for outcome in outcomes} == {n: f"of {n}\n" * 5 for n in range(8)}


def test_it_can_be_switched_off_and_still_reaches_the_workers_own_log(
    start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    worker = start_worker(capture="0")
    (outcome,) = connect().batch(say, [7]).as_completed()
    assert (outcome.stdout, outcome.logs) == ("", ())
    worker.terminate()
    worker.wait(20)
    assert "item 7\n" in "".join(path.read_text() for path in tmp_path.glob("*.log"))


def test_what_is_captured_reaches_the_workers_own_log_too(
    start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    worker = start_worker()
    connect().batch(say, [7]).gather()
    worker.terminate()
    worker.wait(20)
    text = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert [text.count(part) for part in ("item 7\n", "to errors\n", "logged 7\n")] == [1, 1, 1]


def test_last_words_arrive_if_the_courier_came_by(cluster: Cluster, server: Server, start_worker: StartWorker,
                                                  connect: Connect, tmp_path: Path) -> None:  # fmt: skip
    start_worker(max_executions="1")

    def die(_: int) -> None:
        print("last words")
        wait_until((tmp_path / "heard").exists, "somebody has heard it")
        os._exit(1)

    batch = connect().batch(die, [0])
    lines = batch.logs(follow=True)
    assert next(lines).text == "last words\n"
    (tmp_path / "heard").touch()
    (outcome,) = batch.as_completed()
    assert "last words\n" in written(outcome, "stdout")
