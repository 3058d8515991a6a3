"""A model of the public API: random sequences of all that a user may do, by several threads and two clients.

Each step gives one of three threads something to do, and the next step is drawn while it does it. What comes out is
what a serial run gives.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from manycore import Cluster
from tests.integration.model import calls
from tests.integration.model.calls import FORMS, Form, Function, read
from tests.integration.model.hands import Hands, Job
from tests.integration.model.lasting import Reading, Run
from tests.integration.model.values import ITEMS, VALUES
from tests.integration.model.work import named, picky, same, stamped
from tests.probe import Probe

HANDS = st.integers(0, 2)
SIDES = st.integers(0, 1)
FUNCTIONS: st.SearchStrategy[Function] = st.one_of(
    st.sampled_from([same, named, picky]), st.builds(stamped, st.integers(0, 99))
)
FORM = st.sampled_from(FORMS)


class Model(RuleBasedStateMachine):
    runs: Bundle[Run] = Bundle("runs")
    readings: Bundle[Reading] = Bundle("readings")

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__()
        self._cluster, self._folder = cluster, folder / secrets.token_hex(4)
        self._folder.mkdir()
        self._clients = [Probe(cluster).another_client() for _ in range(2)]
        self._hands = Hands(3)
        self._known: list[Run] = []
        self._read: list[Reading] = []
        self._names = 0

    # What stands alone

    @rule(hand=HANDS, side=SIDES, pairs=st.lists(st.tuples(FUNCTIONS, VALUES), max_size=12), in_order=st.booleans())
    def submit(self, hand: int, side: int, pairs: list[tuple[Function, Any]], in_order: bool) -> None:
        self._alone(hand, side, calls.submits, pairs, in_order)

    @rule(hand=HANDS, side=SIDES, one=VALUES, other=VALUES)
    def submit_keywords(self, hand: int, side: int, one: Any, other: Any) -> None:
        self._alone(hand, side, calls.keywords, one, other)

    @rule(hand=HANDS, side=SIDES, items=ITEMS, every=st.integers(1, 3))
    def cancel_futures(self, hand: int, side: int, items: list[Any], every: int) -> None:
        self._alone(hand, side, calls.cancelled_futures, items, every)

    @rule(hand=HANDS, side=SIDES, ones=ITEMS, others=ITEMS)
    def map_two(self, hand: int, side: int, ones: list[Any], others: list[Any]) -> None:
        self._alone(hand, side, calls.maps_of_two, ones, others)

    @rule(hand=HANDS, side=SIDES, items=ITEMS, place=st.integers(0, 99), form=FORM)
    def batch_with_a_lock(self, hand: int, side: int, items: list[Any], place: int, form: Form) -> None:
        self._alone(hand, side, calls.unsendable, items, place, form)

    @rule(hand=HANDS, side=SIDES, rows=st.lists(st.tuples(VALUES, VALUES), max_size=9))
    def batch_of_rows(self, hand: int, side: int, rows: list[tuple[Any, Any]]) -> None:
        self._alone(hand, side, calls.starred, rows)

    @rule(hand=HANDS, side=SIDES, count=st.integers(1, 9), retries=st.integers(0, 2))
    def batch_with_retries(self, hand: int, side: int, count: int, retries: int) -> None:
        folder = self._folder / self._name()
        self._alone(hand, side, calls.retried, count, retries, folder)

    @rule(hand=HANDS, side=SIDES, items=ITEMS, halt=st.sampled_from(["now,fail=1", "soon,fail=2"]))
    def batch_that_halts(self, hand: int, side: int, items: list[Any], halt: str) -> None:
        self._alone(hand, side, calls.halted, items, halt)

    @rule(hand=HANDS, side=SIDES, elsewhere=st.booleans(), count=st.integers(1, 9))
    def batch_whose_failed_items_run_again(self, hand: int, side: int, elsewhere: bool, count: int) -> None:
        mine, other = self._clients[side], self._clients[1 - side] if elsewhere else None
        name = self._name()
        self._give(hand, lambda: calls.failed_again(mine, other, name, count, self._folder / name))

    # What lasts: maps

    @rule(
        target=readings,
        hand=HANDS,
        side=SIDES,
        function=FUNCTIONS,
        items=ITEMS,
        form=FORM,
        chunksize=st.sampled_from([None, 1, 3]),
        buffersize=st.sampled_from([None, 1, 10]),
    )
    def map(
        self, hand: int, side: int, function: Function, items: list[Any], form: Form, **options: int | None
    ) -> Reading:
        reading = Reading(side, read(map(function, items)))
        client = self._clients[side]
        reading.last = self._give(hand, lambda: reading.open(client, function, form(items), options))
        self._read.append(reading)
        return reading

    @rule(hand=HANDS, reading=readings, most=st.integers(1, 40))
    def read_some(self, hand: int, reading: Reading, most: int) -> None:
        if reading in self._read:
            reading.last = self._give(hand, lambda: reading.read(most), after=reading.last)

    @rule(hand=HANDS, reading=consumes(readings))
    def read_the_rest(self, hand: int, reading: Reading) -> None:
        if reading in self._read:
            self._give(hand, lambda: reading.read(1 << 30), after=reading.last)

    @rule(hand=HANDS, reading=consumes(readings))
    def close_early(self, hand: int, reading: Reading) -> None:
        self._give(hand, reading.close, after=reading.last)

    # What lasts: named batches

    @rule(target=runs, hand=HANDS, side=SIDES, function=FUNCTIONS, items=ITEMS, form=FORM)
    def batch(self, hand: int, side: int, function: Function, items: list[Any], form: Form) -> Run:
        run = Run(self._name(), function, items, form, side)
        run.last = self._give(hand, partial(run.begin, self._clients[side]))
        self._known.append(run)
        return run

    @rule(hand=HANDS, run=runs)
    def gather(self, hand: int, run: Run) -> None:
        self._of(run, hand, run.gather)

    @rule(hand=HANDS, run=runs)
    def as_completed(self, hand: int, run: Run) -> None:
        self._of(run, hand, run.in_any_order)

    @rule(hand=HANDS, run=runs)
    def hand_over(self, hand: int, run: Run) -> None:
        run.side = 1 - run.side
        self._of(run, hand, partial(run.hand_over, self._clients[run.side]))

    @rule(hand=HANDS, run=runs, elsewhere=st.booleans(), terminate=st.booleans())
    def cancel(self, hand: int, run: Run, elsewhere: bool, terminate: bool) -> None:
        by = self._clients[1 - run.side] if elsewhere else None
        self._of(run, hand, partial(run.cancel, by, terminate=terminate))

    @rule(hand=HANDS, run=runs, side=SIDES)
    def run_again(self, hand: int, run: Run, side: int) -> None:
        run.side = side
        self._of(run, hand, partial(run.run_again, self._clients[side]))

    @rule(hand=HANDS, run=runs)
    def rerun_failed(self, hand: int, run: Run) -> None:
        self._of(run, hand, run.rerun_failed)

    @rule(target=runs, hand=HANDS, run=consumes(runs), side=SIDES, function=FUNCTIONS, items=ITEMS, anew=st.booleans())
    def delete(self, hand: int, run: Run, side: int, function: Function, items: list[Any], anew: bool) -> Any:
        """It may begin anew under its name, as another batch altogether."""
        gone = self._of(run, hand, partial(run.delete, self._clients[1 - run.side]))
        self._known.remove(run)
        if not anew:
            return multiple()
        other = Run(run.id, function, items, list, side)
        other.last = self._give(hand, partial(other.begin, self._clients[side]), after=gone)
        self._known.append(other)
        return other

    # The end of a client

    @rule(side=SIDES, items=ITEMS, wait=st.booleans(), cancel_futures=st.booleans())
    def shutdown(self, side: int, items: list[Any], wait: bool, cancel_futures: bool) -> None:
        """Its named batches are run again by whoever comes after it."""
        self._hands.settle()
        ending = partial(calls.shut_down, self._clients[side], items, wait=wait, cancel_futures=cancel_futures)
        self._give(0, ending)
        self._hands.settle()
        self._read = [reading for reading in self._read if reading.side != side]
        client = self._clients[side] = Probe(self._cluster).another_client()
        for run in self._known:
            if run.side == side:
                self._of(run, 0, partial(run.run_again, client, stopped=cancel_futures))

    def teardown(self) -> None:
        try:
            self._hands.end()
        finally:
            for client in self._clients:
                Probe(client).close_now()

    def _alone(self, hand: int, side: int, call: Callable[..., None], *args: Any) -> None:
        self._give(hand, partial(call, self._clients[side], *args))

    def _of(self, run: Run, hand: int, job: Job) -> Future[Any]:
        run.last = self._give(hand, job, after=run.last)
        return run.last

    def _give(self, hand: int, job: Job, after: Future[Any] | None = None) -> Future[Any]:
        return self._hands.give(hand, job, after=after)

    def _name(self) -> str:
        self._names += 1
        return f"{self._folder.name}-{self._names}"
