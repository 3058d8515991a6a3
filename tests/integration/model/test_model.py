"""A model of the public API: random sequences of all that a user may do, from several threads and two clients.

Values are of every kind that pickles; the oracle is a serial run. It prints its seed; MODEL_SEED takes one again: the
same steps with the same values, though threads and clients meet in another order.
"""

from __future__ import annotations

import os
import pickle
import secrets
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from manycore import Cluster
from tests.integration.model.steps import SECONDS, STEPS, Actor, check, same, seed_of, serial
from tests.integration.model.values import Open, Slotted, alike, value, values
from tests.probe import Probe
from tests.waiting import wait_until

THREADS = 3


@pytest.mark.parametrize(
    "seconds", [pytest.param(3.0, id="short"), pytest.param(60.0, id="long", marks=[pytest.mark.slow])]
)
@pytest.mark.timeout(240)
def test_whatever_is_done_gives_what_a_serial_run_gives(cluster: Cluster, tmp_path: Path, seconds: float) -> None:
    seed = int(os.environ.get("MODEL_SEED") or secrets.randbits(32))
    print(f"MODEL_SEED={seed}")
    until, round_number = monotonic() + seconds, 0
    while monotonic() < until:
        round_number += 1
        folder = tmp_path / f"{round_number}"
        folder.mkdir()
        one_round(cluster, folder, f"{seed}-{round_number}", until)
    redis = Probe(cluster).redis
    assert not [key for key in redis.keys("mc:*") if redis.ttl(key) == -1], "a key without an end"
    wait_until(lambda: not redis.hlen("manycore-unacked"), "no message is held")


def test_each_value_is_like_its_copy_and_like_no_other() -> None:
    chance = Random(5)
    for _ in range(500):
        drawn = value(chance)
        assert alike(drawn, pickle.loads(pickle.dumps(drawn)))
    for one, other in [(1, True), (1, 1.0), (0.0, -0.0), ([1], (1,)), ([1, [2]], [1, [3]]), ({1: 2}, {1: 3})]:
        assert not alike(one, other)
    assert not alike(ValueError(1), ValueError(2))
    assert not alike(Open(1), Open(2))
    assert not alike(Slotted([1]), Slotted([2]))


def one_round(cluster: Cluster, folder: Path, name: str, until: float) -> None:
    """Two new clients, some threads of each, and the end of both clients, one of them with work under way."""
    clients = [Probe(cluster).another_client() for _ in range(2)]
    chance = Random(seed_of(0, name))
    actors = [
        Actor(clients[n % 2], clients[1 - n % 2], Random(seed_of(n, name)), f"model-{name}-{n}", folder)
        for n in range(THREADS)
    ]
    errors: list[str] = []
    threads = [threading.Thread(target=act, args=(actor, min(until, monotonic() + 5), errors)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * SECONDS)
    assert not any(thread.is_alive() for thread in threads), [actor.log[-1] for actor in actors]
    assert not errors, "\n".join(errors)
    print(f"round {name}: {sum(len(actor.log) for actor in actors)} steps")
    items = values(chance, 40)
    futures = [clients[0].submit(same, item) for item in items]
    clients[0].shutdown(wait=chance.random() < 0.5, cancel_futures=chance.random() < 0.5)
    clients[1].shutdown()
    got = [serial(future.result, SECONDS) for future in futures]
    check(items, got, allowed=(CancelledError,))


def act(actor: Actor, until: float, errors: list[str]) -> None:
    try:
        while monotonic() < until and not errors:
            step = actor.random.choice(STEPS)
            actor.log.append(step.__name__)
            step(actor)
    except BaseException as exc:
        errors.append(f"{actor.name}, after {actor.log}: {type(exc).__name__}: {exc}")
