"""Runs the model (`machine`): a short form with the ordinary tests, a longer one with the slow ones.

It prints its seed; MODEL_SEED takes one again, and makes what fails smaller. Threads and clients then meet in another
order, so what depends on that may not fail again.
"""

from __future__ import annotations

import os
import pickle
import secrets
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from manycore import Cluster
from tests.integration.model.kinds import Open, Slotted, alike
from tests.integration.model.machine import Model
from tests.integration.model.values import VALUES
from tests.probe import Probe
from tests.waiting import wait_until

SHRINK_SECONDS = 900
PATIENT = settings(deadline=None, derandomize=False, suppress_health_check=list(HealthCheck), print_blob=True)
"""A busy machine must not fail a test."""


@pytest.mark.parametrize(
    ("examples", "steps"), [pytest.param(5, 20, id="short"), pytest.param(60, 40, id="long", marks=[pytest.mark.slow])]
)
@pytest.mark.timeout(SHRINK_SECONDS if "MODEL_SEED" in os.environ else 300)
def test_whatever_is_done_gives_what_a_serial_run_gives(
    cluster: Cluster, tmp_path: Path, examples: int, steps: int
) -> None:
    again = os.environ.get("MODEL_SEED")
    number = int(again or secrets.randbits(32))
    print(f"MODEL_SEED={number}")

    def model() -> Model:
        return Model(cluster, tmp_path)

    phases = [Phase.explicit, Phase.generate] + [Phase.shrink] * (again is not None)
    chosen = settings(PATIENT, max_examples=examples, stateful_step_count=steps, phases=phases, database=None)
    machine: Any = seed(number)(model)
    run_state_machine_as_test(machine, settings=chosen)
    redis = Probe(cluster).redis
    assert not [key for key in redis.keys("mc:*") if redis.ttl(key) == -1], "a key without an end"
    wait_until(lambda: not redis.hlen("manycore-unacked"), "no message is held")


@settings(PATIENT, max_examples=300)
@given(VALUES)
def test_each_value_is_like_its_copy(drawn: Any) -> None:
    assert alike(drawn, pickle.loads(pickle.dumps(drawn)))


def test_no_value_is_like_another() -> None:
    for one, other in [(1, True), (1, 1.0), (0.0, -0.0), ([1], (1,)), ([1, [2]], [1, [3]]), ({1: 2}, {1: 3})]:
        assert not alike(one, other)
    assert not alike(ValueError(1), ValueError(2))
    assert not alike(Open(1), Open(2))
    assert not alike(Slotted([1]), Slotted([2]))
