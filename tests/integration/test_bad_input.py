"""Bad input: each a clear error, for its own item alone, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from manycore import Cluster
from manycore.client.checks import check_options
from manycore.client.functions import FunctionShipper
from manycore.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    FunctionsNotAllowed,
    NotPicklable,
    NotUnpicklable,
    PayloadTooLarge,
    SettingsError,
    SigningKeyMismatch,
    SigningKeyMissing,
    UnknownTask,
)
from manycore.protocol.signing import generate_key
from tests.functions import CannotArrive, NeedsTwo, busy, lock, raise_needs_two, square
from tests.integration.conftest import ROOT, Server
from tests.probe import Probe
from tests.waiting import wait_until


class Word(str):
    """A text of the caller's own class, which no worker has."""


@pytest.mark.parametrize("number", [np.float64, np.float32, np.int64, Fraction, int])
def test_numbers_and_names_of_any_kind_are_taken(cluster: Cluster, number: Callable[[int], Any]) -> None:
    """They travel as Python's own: a worker without NumPy could not even refuse what has one of NumPy's in its head."""
    whole = number(2) if isinstance(number(2), Integral) else 2
    batch = cluster.batch(square, [1, 2], id=Word("words"), timeout=number(20), backoff=number(1), retries=whole)
    assert batch.gather() == [1, 4]
    assert type(batch.id) is str
    batch.delete()
    assert [type(option) for option in check_options(Word("words"), whole, number(20))] == [str, int, float, type(None)]


def test_a_function_that_cannot_be_pickled(cluster: Cluster) -> None:
    held = threading.Lock()
    with pytest.raises(NotPicklable, match=r"The function .*<lambda> cannot be pickled"):
        cluster.submit(lambda: held).result(timeout=10)
    with pytest.raises(NotPicklable):
        cluster.map(lambda n: held, [1])


class Interrupts:
    def __reduce__(self) -> NoReturn:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [threading.Lock, Interrupts])
def test_an_argument_that_cannot_be_pickled_fails_alone(kind: Callable[[], object], cluster: Cluster) -> None:
    results = cluster.batch(bool, [1, kind(), 0]).gather(return_exceptions=True)
    assert [results[0], results[2]] == [True, False]
    assert isinstance(results[1], NotPicklable)


def test_an_argument_that_cannot_be_rebuilt_fails_alone(cluster: Cluster) -> None:
    results = cluster.batch(bool, [1, CannotArrive(), 0]).gather(return_exceptions=True)
    assert [results[0], results[2]] == [True, False]
    assert isinstance(results[1], NotUnpicklable)
    assert "RuntimeError: not here" in str(results[1])


def test_a_result_that_cannot_be_pickled_fails_alone(cluster: Cluster) -> None:
    results = cluster.batch(lambda n: lock(n) if n == 1 else n, [0, 1, 2]).gather(return_exceptions=True)
    assert [results[0], results[2]] == [0, 2]
    assert isinstance(results[1], NotPicklable)


def test_an_exception_that_needs_other_arguments_than_it_holds(cluster: Cluster) -> None:
    with pytest.raises(NeedsTwo, match="a") as caught:
        cluster.submit(raise_needs_two, 1).result(timeout=10)
    assert "raise_needs_two" in str(caught.value.__cause__)


def test_a_payload_above_the_limit(start_worker: Callable[..., object], connect: Callable[..., Cluster]) -> None:
    """Of what goes through the server; between processes of one host there is none but that of their memory."""
    start_worker(max_item_bytes=str(1 << 20))
    cluster = connect(max_item_bytes=str(1 << 20))
    with pytest.raises(PayloadTooLarge, match="MANYCORE_MAX_ITEM_BYTES"):
        cluster.submit(len, bytes(2 << 20)).result(timeout=10)
    with pytest.raises(PayloadTooLarge, match="The result"):
        cluster.submit(bytes, 2 << 20).result(timeout=20)


def test_a_task_name_that_no_worker_knows(cluster: Cluster) -> None:
    with pytest.raises(UnknownTask, match=r"No worker knows the task .tasks\.primes\.cout."):
        cluster.submit("tasks.primes.cout", 1).result(timeout=10)


def test_no_server_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_KEY", generate_key())
    with pytest.raises(ConnectionFailed, match=r"No Redis or Valkey answers at redis://127.0.0.1:1/0"):
        Cluster("redis://127.0.0.1:1/0")


def test_a_wrong_password(server: Server, connect: Callable[..., Cluster]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        connect(url=server.url.replace(server.password, "not-this-one"))
    assert "not-this-one" not in str(caught.value)


def test_no_signing_key(server: Server) -> None:
    with pytest.raises(SigningKeyMissing, match="MANYCORE_KEY_FILE"):
        Cluster(server.url)


def test_a_wrong_signing_key_is_noticed_at_once(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    start_worker()
    with pytest.raises(SigningKeyMismatch, match="MANYCORE_KEY_FILE"):
        connect(key=generate_key())


def test_a_wrong_signing_key_of_a_worker_that_comes_later(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    cluster = connect()
    future = cluster.submit(square, 2)
    process = start_worker(key=generate_key())
    with pytest.raises(SigningKeyMismatch):
        future.result(timeout=20)
    assert process.poll() is None


def test_functions_can_be_forbidden(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> None:
    start_worker(allow_functions="0", tasks="tasks.primes")
    cluster = connect()
    with pytest.raises(FunctionsNotAllowed, match="MANYCORE_ALLOW_FUNCTIONS=0"):
        cluster.submit(square, 2).result(timeout=10)
    assert cluster.submit("tasks.primes.count_primes", 0, 100).result(timeout=10) == 25


def test_nor_does_one_come_in_the_place_of_a_registered_task(
    start_worker: Callable[..., Any], connect: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a client could write it that has the key, and is none of ours."""
    cluster = connect()
    forged = replace(Probe(cluster).program(abs), task="tasks.primes.count_primes", code=None)
    monkeypatch.setattr(FunctionShipper, "program", lambda *_, **__: forged)
    batch = cluster.batch(abs, [-3])
    start_worker(allow_functions="0", tasks="tasks.primes")
    with pytest.raises(FunctionsNotAllowed, match=r"abs is not one"):
        batch.gather()


def test_a_misspelt_task_gets_a_suggestion(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> None:
    start_worker(tasks="tasks.primes")
    with pytest.raises(UnknownTask, match=r"Did you mean 'tasks.primes.count_primes'\?"):
        connect().submit("tasks.primes.cuont_primes", 0, 100).result(timeout=10)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_a_number_of_workers_that_cannot_work(workers: Any) -> None:
    with pytest.raises(SettingsError):
        Cluster(workers=workers)


def test_a_misspelt_on_change_is_refused(cluster: Cluster) -> None:
    with pytest.raises(SettingsError, match="'refuse' or 'accept'"):
        cluster.batch(square, [1], id="misspelt", on_change="accepted")  # type: ignore[arg-type]


def test_a_task_module_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_TASKS", "no_such_module")
    with Cluster(workers=1) as cluster, pytest.raises(Exception, match="no_such_module"):
        cluster.submit(square, 1).result(timeout=30)


def test_ctrl_c_during_gather_ends_the_program_and_its_cluster(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from manycore import Cluster\n"
        "from tests.functions import busy\n"
        "with Cluster(workers=1) as cluster:\n"
        "    cluster.submit(abs, 1).result()\n"
        "    print(cluster._session.local.process_id, flush=True)\n"
        "    cluster.batch(busy, [30.0] * 100).gather()\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as run:
        assert run.stdout is not None
        supervisor = int(run.stdout.readline())
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=10)
    assert run.returncode in (1, 130, -signal.SIGINT)
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    wait_until(lambda: not Path(f"/proc/{supervisor}").exists(), "the supervisor is gone", seconds=10)


def test_nothing_is_left_behind(
    server: Server, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    """After good and bad batches, a closed client leaves no queue, and no key of ours without a TTL."""
    start_worker(slots=2)
    cluster = connect()
    cluster.batch(square, range(1000)).gather()
    cluster.batch(bool, [threading.Lock(), CannotArrive()]).gather(return_exceptions=True)
    cluster.batch(lock, [1]).gather(return_exceptions=True)
    next(cluster.map(square, iter(range(10_000_000)))), cluster.submit(square, 1).result(timeout=10)
    cancelled = cluster.batch(busy, [0.05] * 100)
    wait_until(lambda: cancelled.progress.done, "some items are done")
    cancelled.cancel()
    cluster.shutdown()
    client = server.client()
    wait_until(lambda: not client.llen("cpu") and not client.hlen("manycore-unacked"), "the queue is empty")
    found: Any = client.keys("mc:*")
    keys = [key.decode() for key in found]
    assert all(client.ttl(key) > 0 for key in keys), keys
    assert not [key for key in keys if ":in:" in key or ":val:" in key], keys
