"""`Batch.rerun_failed`: what failed runs again, as a new batch, with its own arguments and nobody else's."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from manycore import Cluster
from manycore.errors import NotRetryable, SettingsError
from manycore.protocol import keys
from tests.functions import fail_while, square
from tests.probe import Probe


def test_only_what_failed_runs_again(cluster: Cluster, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    batch = cluster.batch(fail_while, range(100), id="rerun", kwargs={"flag": str(flag), "each": 9})
    errors = [each for each in batch.gather(return_exceptions=True) if isinstance(each, Exception)]
    assert len(errors) == 12
    flag.unlink()
    again = batch.rerun_failed()
    assert again.id.startswith("rerun:retry-")
    assert again.gather() == list(range(0, 100, 9))
    assert sum(isinstance(each, Exception) for each in batch.gather(return_exceptions=True)) == 12, "it keeps its own"


def test_what_had_failed_before_the_batch_was_begun_again_can_be_run_again(cluster: Cluster, tmp_path: Path) -> None:
    """Begun again, a batch sends nothing that is answered; then of what failed there were no arguments, and the new
    batch was empty, without a word."""
    flag = tmp_path / "flag"
    flag.touch()
    kwargs = {"flag": str(flag), "each": 9}
    for _ in range(3):
        batch = cluster.batch(fail_while, range(100), id="rerun-begun", kwargs=kwargs)
        assert sum(isinstance(each, Exception) for each in batch.gather(return_exceptions=True)) == 12
    flag.unlink()
    assert batch.rerun_failed().gather() == list(range(0, 100, 9))


def test_what_could_not_be_sent_cannot_be_run_again(cluster: Cluster) -> None:
    batch = cluster.batch(str, [1, threading.Lock()], id="unsent")
    batch.wait()
    with pytest.raises(NotRetryable, match="was never sent"):
        batch.rerun_failed()


def test_what_fails_again_can_be_run_again(cluster: Cluster, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    batch = cluster.batch(fail_while, [3, 4], id="twice", kwargs={"flag": str(flag), "each": 1})
    batch.wait()
    once = batch.rerun_failed()
    once.wait()
    flag.unlink()
    again = cluster.attach(once.id).rerun_failed()
    assert again.gather() == [3, 4]
    assert len(again.id) == len(once.id)


def test_objects_and_large_arguments_too(cluster: Cluster, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    items = [Path("a"), b"x" * 600_000, Path("c")]
    batch = cluster.batch(fail_while, items, id="objects", kwargs={"flag": str(flag), "each": 1})
    batch.wait()
    flag.unlink()
    assert batch.rerun_failed().gather() == items
    batch.delete()  # else it keeps the argument of what has failed in the shared memory of the other tests' cluster


def test_where_nothing_failed_nothing_runs(cluster: Cluster) -> None:
    batch = cluster.batch(square, range(5), id="fine")
    batch.gather()
    with pytest.raises(NotRetryable, match="none of its items has failed"):
        batch.rerun_failed()


def test_a_batch_without_an_id_has_kept_nothing(cluster: Cluster) -> None:
    batch = cluster.batch(square, ["a"])
    batch.wait()
    with pytest.raises(SettingsError, match="Give it one"):
        batch.rerun_failed()


def test_arguments_that_redis_has_lost(cluster: Cluster) -> None:
    batch = cluster.batch(square, ["a"], id="lost-arguments")
    batch.wait()
    client = Probe(cluster).redis
    client.delete(*client.keys("mc:lost-arguments:in:*"))
    with pytest.raises(NotRetryable, match="no longer in Redis"):
        batch.rerun_failed()


def test_a_batch_that_is_not_known(cluster: Cluster) -> None:
    batch = cluster.batch(square, ["a"], id="deleted-meanwhile")
    batch.wait()
    Probe(cluster).redis.delete(keys.batch("deleted-meanwhile"))
    with pytest.raises(Exception, match="deleted-meanwhile"):
        batch.rerun_failed()
