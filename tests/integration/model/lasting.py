"""What lasts from step to step: a named batch, and a `map` that is being read; with what is known of each."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from manycore import Cluster
from manycore.client.batch import Batch
from manycore.client.results import MapResults
from manycore.errors import BatchCancelled, BatchIncomplete, NotRetryable, UnknownBatch
from tests.integration.model.calls import PULLED, Form, Function, check, read, serial
from tests.integration.model.hands import SECONDS
from tests.waiting import wait_until


@dataclass(eq=False)
class Run:
    """A named batch. One job after another has it, in the order in which they were given."""

    id: str
    function: Function
    items: list[Any]
    form: Form
    side: int
    last: Future[Any] | None = None
    allowed: tuple[type[BaseException], ...] = ()
    batch: Batch | None = field(default=None, repr=False)

    @property
    def expected(self) -> list[Any]:
        return [serial(self.function, item) for item in self.items]

    @property
    def known(self) -> Batch:
        assert self.batch is not None
        return self.batch

    def begin(self, client: Cluster) -> None:
        """Also again: what is there already is not run a second time."""
        self.batch = client.batch(self.function, self.form(self.items), id=self.id)

    def gather(self) -> None:
        assert self.known.wait(SECONDS)
        self._check(self.known.gather(return_exceptions=True))

    def in_any_order(self) -> None:
        outcomes = sorted(self.known.as_completed(), key=lambda outcome: outcome.index)
        assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))
        self._check([outcome.value if outcome.error is None else outcome.error for outcome in outcomes])

    def hand_over(self, other: Cluster) -> None:
        """To another client, whatever becomes of this one."""
        if self.allowed:  # it was never sent whole, perhaps
            self.run_again(other)
            return
        self.known.detach(SECONDS)
        self.batch = other.attach(self.id)

    def cancel(self, by: Cluster | None, *, terminate: bool) -> None:
        """By its own client, or by another one."""
        self.allowed = (BatchCancelled,)
        with suppress(BatchIncomplete):
            (self.known if by is None else by.attach(self.id)).cancel(terminate=terminate)
        self.gather()

    def run_again(self, client: Cluster, *, stopped: bool = False) -> None:
        """Whole, whatever has become of it; it may have been `stopped`."""
        self.allowed += (BatchCancelled,) if stopped else ()
        self.gather()
        self.allowed = ()
        self.begin(client)
        self.gather()

    def rerun_failed(self) -> None:
        self.gather()
        if self.allowed:  # what has failed by then, nobody can say
            return
        failed = [result for result in self.expected if isinstance(result, LookupError)]
        if not failed:
            with suppress(NotRetryable):
                raise AssertionError(f"nothing has failed, and runs again: {self.known.rerun_failed()}")
            return
        again = self.known.rerun_failed()
        assert again.wait(SECONDS)
        check(failed, again.gather(return_exceptions=True))
        again.delete()

    def delete(self, looking: Cluster) -> None:
        self.known.delete()
        wait_until(lambda: self._unknown(looking), "it is deleted")

    def _check(self, got: list[Any]) -> None:
        """Of an input that is pulled, a batch that was stopped may not have seen the end."""
        cut_off = self.allowed and self.form in PULLED
        check(self.expected[: len(got)] if cut_off else self.expected, got, allowed=self.allowed)

    def _unknown(self, looking: Cluster) -> bool:
        try:
            looking.attach(self.id)
        except UnknownBatch:
            return True
        except BatchIncomplete:
            return False
        return False


@dataclass(eq=False)
class Reading:
    """A `map` that is read in parts."""

    side: int
    expected: list[Any]
    last: Future[Any] | None = None
    results: MapResults[Any] | None = field(default=None, repr=False)
    position: int = 0

    def open(self, client: Cluster, function: Function, given: Any, options: dict[str, Any]) -> None:
        self.results = client.map(function, given, timeout=2 * SECONDS, **options)
        if isinstance(given, list):
            given.clear()  # it is what it was at the call

    def read(self, most: int) -> None:
        assert self.results is not None
        got = read(self.results, most)
        check(self.expected[self.position :][:most], got)
        self.position += len(got)

    def close(self) -> None:
        assert self.results is not None
        self.results.close()
        assert read(self.results) == []
