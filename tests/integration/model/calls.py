"""What stands alone: one call of the API with all that it was given, and a look at what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from pathlib import Path
from threading import Lock
from typing import Any

from manycore import Cluster
from manycore.errors import BatchHalted, NotPicklable
from tests.integration.model.hands import SECONDS
from tests.integration.model.kinds import alike
from tests.integration.model.work import both, fail_once, picky, same

Function = Callable[..., Any]
Form = Callable[[list[Any]], Any]


def generate(items: list[Any]) -> Iterator[Any]:
    yield from items


PULLED: list[Form] = [iter, generate]
FORMS: list[Form] = [list, tuple, *PULLED]


def serial(function: Function, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as exc:
        return exc


def check(expected: list[Any], got: list[Any], *, allowed: tuple[type[BaseException], ...] = ()) -> None:
    assert len(expected) == len(got), f"{len(got)} results for {len(expected)} items"
    for index, (one, other) in enumerate(zip(expected, got, strict=True)):
        assert alike(one, other) or (allowed and isinstance(other, allowed)), f"item {index}: {other!r}, not {one!r}"


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


def submits(client: Cluster, calls: Sequence[tuple[Function, Any]], in_order: bool) -> None:
    futures = [client.submit(function, item) for function, item in calls]
    if not in_order:
        list(as_completed(futures, SECONDS))
    check([serial(*call) for call in calls], [serial(future.result, SECONDS) for future in futures])


def keywords(client: Cluster, one: Any, other: Any) -> None:
    futures = [client.submit(both, one, other=other), client.submit(both, one), client.submit(both)]
    check([(one, other), (one, None)], [future.result(SECONDS) for future in futures[:2]])
    assert isinstance(futures[2].exception(SECONDS), TypeError)


def cancelled_futures(client: Cluster, items: list[Any], every: int) -> None:
    futures = [client.submit(same, item) for item in items]
    for future in futures[::every]:
        future.cancel()
    got = [CancelledError() if future.cancelled() else future.result(SECONDS) for future in futures]
    check(items, got, allowed=(CancelledError,))


def maps_of_two(client: Cluster, ones: list[Any], others: list[Any]) -> None:
    check(read(map(both, ones, others)), read(client.map(both, ones, iter(others), timeout=SECONDS)))


def unsendable(client: Cluster, items: list[Any], place: int, form: Form) -> None:
    """One item that cannot be pickled is its own affair."""
    place %= len(items) + 1
    given = [*items[:place], Lock(), *items[place:]]
    batch = client.batch(same, form(given))
    assert batch.wait(SECONDS)
    got = batch.gather(return_exceptions=True)
    assert isinstance(got.pop(place), NotPicklable)
    check(items, got)


def starred(client: Cluster, rows: list[tuple[Any, Any]]) -> None:
    batch = client.batch(both, rows, star=True)
    assert batch.wait(SECONDS)
    check(rows, batch.gather())


def retried(client: Cluster, count: int, retries: int, folder: Path) -> None:
    folder.mkdir()
    numbers = list(range(count))
    batch = client.batch(fail_once, numbers, kwargs={"folder": str(folder)}, retries=retries, backoff=0.01)
    assert batch.wait(SECONDS)
    expected: list[Any] = [-n for n in numbers] if retries else [OSError("the first time")] * count
    check(expected, batch.gather(return_exceptions=True))


def halted(client: Cluster, items: list[Any], halt: str) -> None:
    batch = client.batch(picky, items, halt=halt)
    assert batch.wait(SECONDS)
    got = batch.gather(return_exceptions=True)
    check([serial(picky, item) for item in items[: len(got)]], got, allowed=(BatchHalted,))


def failed_again(mine: Cluster, other: Cluster | None, batch_id: str, count: int, folder: Path) -> None:
    """The items that failed run as a batch of their own, by the client that sent them or by another one."""
    folder.mkdir()
    numbers = list(range(count))
    batch = mine.batch(fail_once, numbers, kwargs={"folder": str(folder)}, id=batch_id)
    if other is not None:
        batch.detach(SECONDS)
        batch = other.attach(batch_id)
    assert batch.wait(SECONDS)
    check([OSError("the first time")] * count, batch.gather(return_exceptions=True))
    again = batch.rerun_failed()
    assert again.wait(SECONDS)
    check([-number for number in numbers], again.gather(return_exceptions=True))
    again.delete()
    batch.delete()


def shut_down(client: Cluster, items: list[Any], *, wait: bool, cancel_futures: bool) -> None:
    """A client ends with work under way."""
    futures = [client.submit(same, item) for item in items]
    client.shutdown(wait=wait, cancel_futures=cancel_futures)
    check(items, [serial(future.result, SECONDS) for future in futures], allowed=(CancelledError,))
