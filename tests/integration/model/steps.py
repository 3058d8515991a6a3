"""What a user may do, one step each; after each, what came out is what a serial run gives."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from manycore import Cluster
from manycore.errors import BatchCancelled, BatchHalted, BatchIncomplete, NotPicklable, NotRetryable, UnknownBatch
from tests.integration.model.values import alike, value, values
from tests.waiting import wait_until

SECONDS = 45.0
MOST = 30


def same(item: Any) -> Any:
    return item


def named(item: Any, *, before: str = "") -> Any:
    return before + type(item).__name__, item


def picky(item: Any) -> Any:
    if type(item) in (str, int, list):
        raise LookupError(item)
    return [item]


def both(one: Any, other: Any = None) -> Any:
    return one, other


def fail_once(item: Any, *, folder: str) -> Any:
    """Fails the first time that it meets an item; the folder remembers."""
    mark = Path(folder) / str(item)
    if not mark.exists():
        mark.touch()
        raise OSError("the first time")
    return -item


@dataclass
class Actor:
    """A thread of the model: a client, another one beside it, and a source of chance of its own."""

    mine: Cluster
    other: Cluster
    random: Random
    name: str
    folder: Path
    log: list[str] = field(default_factory=list)
    ids: int = 0

    def function(self) -> Callable[[Any], Any]:
        stamp = self.random.randint(0, 99)
        return self.random.choice([same, named, picky, lambda item: (stamp, item)])

    def new_id(self) -> str:
        self.ids += 1
        return f"{self.name}-{self.ids}"


def serial(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as exc:
        return exc


def check(expected: list[Any], got: list[Any], *, allowed: tuple[type[BaseException], ...] = ()) -> None:
    assert len(expected) == len(got), f"{len(got)} results for {len(expected)} items"
    for index, (one, other) in enumerate(zip(expected, got, strict=True)):
        assert alike(one, other) or (allowed and isinstance(other, allowed)), f"item {index}: {other!r}, not {one!r}"


def submits(actor: Actor) -> None:
    calls = [(actor.function(), item) for item in values(actor.random, MOST)]
    futures = [actor.mine.submit(function, item) for function, item in calls]
    if actor.random.random() < 0.3:
        list(as_completed(futures, SECONDS))
    check([serial(*call) for call in calls], [serial(future.result, SECONDS) for future in futures])


def calls_with_keywords(actor: Actor) -> None:
    one, other = value(actor.random), value(actor.random)
    futures = [actor.mine.submit(both, one, other=other), actor.mine.submit(both, one), actor.mine.submit(both)]
    check([(one, other), (one, None)], [future.result(SECONDS) for future in futures[:2]])
    assert isinstance(futures[2].exception(SECONDS), TypeError)


def cancelled_futures(actor: Actor) -> None:
    items = values(actor.random, MOST)
    futures = [actor.mine.submit(same, item) for item in items]
    for future in actor.random.sample(futures, len(futures) // 2):
        future.cancel()
    got = [future.exception(SECONDS) if not future.cancelled() else CancelledError() for future in futures]
    assert all(error is None or isinstance(error, CancelledError) for error in got)
    check(items, [CancelledError() if f.cancelled() else f.result() for f in futures], allowed=(CancelledError,))


def read(results: Iterator[Any], most: int = 1 << 30) -> list[Any]:
    """What an iteration gives: values, and the error that ends it, if one does."""
    got: list[Any] = []
    try:
        while len(got) < most:
            got.append(next(results))
    except StopIteration:
        pass
    except Exception as exc:
        got.append(exc)
    return got


def generate(items: list[Any]) -> Iterator[Any]:
    yield from items


FORMS: list[Callable[[list[Any]], Any]] = [list, tuple, iter, generate]


def maps(actor: Actor) -> None:
    items, function, r = values(actor.random, MOST), actor.function(), actor.random
    expected = read(map(function, items))
    given: Any = r.choice(FORMS)(items)
    options = {"chunksize": r.choice([None, 1, 3]), "buffersize": r.choice([None, 1, 10])}
    results = actor.mine.map(function, given, timeout=SECONDS, **options)
    if isinstance(given, list):
        given.clear()  # it is what it was at the call
    if r.random() < 0.3:
        some = r.randint(0, len(items))
        check(expected[:some], read(results, some))
        results.close()
        return
    check(expected, read(results))


def maps_of_two(actor: Actor) -> None:
    ones, others = values(actor.random, MOST), values(actor.random, MOST)
    check(read(map(both, ones, others)), read(actor.mine.map(both, ones, iter(others), timeout=SECONDS)))


def batches(actor: Actor) -> None:
    items, function = values(actor.random, MOST), actor.function()
    before = actor.random.choice(["", "a "])
    kwargs = {"before": before} if function is named else None
    batch = actor.mine.batch(function, actor.random.choice(FORMS)(items), kwargs=kwargs)
    expected = [serial(function, item, **(kwargs or {})) for item in items]
    if actor.random.random() < 0.5:
        outcomes = sorted(batch.as_completed(), key=lambda outcome: outcome.index)
        assert [outcome.index for outcome in outcomes] == list(range(len(items)))
        check(expected, [outcome.value if outcome.error is None else outcome.error for outcome in outcomes])
    assert batch.wait(SECONDS)
    check(expected, batch.gather(return_exceptions=True))


def unsendable(actor: Actor) -> None:
    """One item that cannot be pickled is its own affair."""
    items = [*values(actor.random, MOST), 0]
    place = actor.random.randrange(len(items))
    items[place] = Lock()
    batch = actor.mine.batch(same, actor.random.choice(FORMS)(items))
    assert batch.wait(SECONDS)
    got = batch.gather(return_exceptions=True)
    assert isinstance(got[place], NotPicklable)
    check(items[:place] + items[place + 1 :], got[:place] + got[place + 1 :])


def starred(actor: Actor) -> None:
    rows = [(value(actor.random), value(actor.random)) for _ in range(actor.random.randint(0, 9))]
    batch = actor.mine.batch(both, rows, star=True)
    assert batch.wait(SECONDS)
    check(rows, batch.gather())


def retried(actor: Actor) -> None:
    folder = actor.folder / actor.new_id()
    folder.mkdir()
    numbers = list(range(actor.random.randint(1, 9)))
    retries = actor.random.randint(0, 2)
    batch = actor.mine.batch(fail_once, numbers, kwargs={"folder": str(folder)}, retries=retries, backoff=0.01)
    assert batch.wait(SECONDS)
    expected: list[Any] = [-n for n in numbers] if retries else [OSError("the first time")] * len(numbers)
    check(expected, batch.gather(return_exceptions=True))


def halted(actor: Actor) -> None:
    items = values(actor.random, MOST)
    batch = actor.mine.batch(picky, items, halt=actor.random.choice(["now,fail=1", "soon,fail=2"]))
    assert batch.wait(SECONDS)
    got = batch.gather(return_exceptions=True)
    check([serial(picky, item) for item in items[: len(got)]], got, allowed=(BatchHalted,))


def cancelled(actor: Actor) -> None:
    """By itself, or by another client."""
    items, batch_id = values(actor.random, MOST * 3), actor.new_id()
    batch = actor.mine.batch(same, items, id=batch_id)
    if actor.random.random() < 0.5:
        with suppress(BatchIncomplete):
            actor.other.attach(batch_id).cancel()
    else:
        batch.cancel()
    assert batch.wait(SECONDS)
    check(items, batch.gather(return_exceptions=True), allowed=(BatchCancelled,))
    batch.delete()


def named_batches(actor: Actor) -> None:
    """Gathered, attached to from elsewhere, run again, deleted."""
    items, function, batch_id = values(actor.random, MOST), actor.function(), actor.new_id()
    expected = [serial(function, item) for item in items]
    batch = actor.mine.batch(function, items, id=batch_id)
    elsewhere = None
    if actor.random.random() < 0.4:
        batch.detach(SECONDS)
        elsewhere = actor.other.attach(batch_id)
    for each in [elsewhere or batch, actor.mine.attach(batch_id) if elsewhere else None]:
        if each is not None:
            assert each.wait(SECONDS)
            check(expected, each.gather(return_exceptions=True))
    if actor.random.random() < 0.5:
        batch = actor.other.batch(function, items, id=batch_id)
        assert batch.wait(SECONDS)
        check(expected, batch.gather(return_exceptions=True))
    if elsewhere is None or actor.random.random() < 0.5:
        (elsewhere or batch).delete()
        wait_until(lambda: _unknown(actor.mine, batch_id), "it is deleted")
        anew = actor.random.choice([actor.mine, actor.other]).batch(function, items, id=batch_id)
        assert anew.wait(SECONDS)
        check(expected, anew.gather(return_exceptions=True))
        anew.delete()


def failed_items_again(actor: Actor) -> None:
    """As a batch of their own, by the client that sent them or by another one."""
    batch_id, numbers = actor.new_id(), list(range(actor.random.randint(1, 9)))
    folder = actor.folder / batch_id
    folder.mkdir()
    batch = actor.mine.batch(fail_once, numbers, kwargs={"folder": str(folder)}, id=batch_id)
    if actor.random.random() < 0.5:
        batch.detach(SECONDS)
        batch = actor.other.attach(batch_id)
    assert batch.wait(SECONDS)
    check([OSError("the first time")] * len(numbers), batch.gather(return_exceptions=True))
    again = batch.rerun_failed()
    assert again.wait(SECONDS)
    check([-number for number in numbers], again.gather(return_exceptions=True))
    with suppress(NotRetryable):
        raise AssertionError(f"nothing has failed, and runs again: {again.rerun_failed()}")
    again.delete()
    batch.delete()


def _unknown(client: Cluster, batch_id: str) -> bool:
    try:
        client.attach(batch_id)
    except UnknownBatch:
        return True
    return False


STEPS: list[Callable[[Actor], None]] = [
    submits,
    calls_with_keywords,
    cancelled_futures,
    maps,
    maps_of_two,
    batches,
    unsendable,
    starred,
    retried,
    halted,
    cancelled,
    named_batches,
    failed_items_again,
]


def seed_of(seed: int, name: str) -> int:
    return zlib.crc32(f"{seed} {name}".encode())
