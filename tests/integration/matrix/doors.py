"""The doors that a call goes through. What a caller gets for three good items and a `Trouble` beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from celery import Celery

from manycore import Cluster
from tests.integration.matrix.trouble import VALUE, Trouble, held, on_cpu, on_io, troubled_input

FUNCTIONS = {"cpu": on_cpu, "io": on_io}
GOOD = [1, 2, 3]
BOUND_SECONDS = 50.0
LIMIT_SECONDS = 1.0
"""Of an item that hangs: by `timeout=` where the door has it, else its caller waits no longer than that."""
MAP_SECONDS = 4.0
"""Of a whole `map`, whose good items are to be there by then."""


@dataclass(frozen=True)
class Got:
    """Of the good items, of the bad one, and of that one once its hang was over, if its caller waited in vain."""

    good: list[Any]
    bad: Any
    late: Any = None


def outcome(get: Callable[[float], Any], seconds: float = BOUND_SECONDS) -> Any:
    """What `get` returns or raises within so many seconds."""
    try:
        return get(seconds)
    except BaseException as exc:
        return exc


def twice(get: Callable[[float], Any], trouble: Trouble) -> tuple[Any, Any]:
    """An outcome that a hang holds up: what its caller has after a second, and once the hang is over."""
    first = outcome(get, LIMIT_SECONDS)
    Path(trouble.flag).unlink()
    return first, outcome(get)


def by_submit(client: Cluster, fleet: str, trouble: Trouble, *, in_vain: bool) -> Got:
    futures = [client.submit(FUNCTIONS[fleet], item) for item in [*GOOD, trouble]]
    if trouble.place == "callback":
        return _with_callbacks(futures, trouble)
    good = [outcome(future.result) for future in futures[:-1]]
    bad, late = twice(futures[-1].result, trouble) if in_vain else (outcome(futures[-1].result), None)
    return Got(good, bad, late)


def _with_callbacks(futures: list[Any], trouble: Trouble) -> Got:
    called = Event()
    futures[-1].add_done_callback(lambda _: trouble.happen())
    futures[-1].add_done_callback(lambda _: called.set())
    Path(held(trouble)).unlink()
    bad = outcome(futures[-1].result)
    Path(trouble.flag).unlink()  # it hangs for as long as the results take
    assert called.wait(BOUND_SECONDS), "the next callback"
    return Got([outcome(future.result) for future in futures[:-1]], bad)


def by_map(client: Cluster, fleet: str, trouble: Trouble, *, in_vain: bool) -> Got:
    items = troubled_input(GOOD, trouble) if trouble.place == "input" else [*GOOD, trouble]
    results = client.map(FUNCTIONS[fleet], items, timeout=MAP_SECONDS if in_vain else BOUND_SECONDS)
    *good, bad = [outcome(lambda _: next(results)) for _ in [*GOOD, trouble]]
    return Got(good, bad)


def by_batch(client: Cluster, fleet: str, trouble: Trouble, *, in_vain: bool, batch_id: str | None = None) -> Got:
    items = troubled_input(GOOD, trouble) if trouble.place == "input" else [*GOOD, trouble]
    limit = LIMIT_SECONDS if "hang" in trouble.fault else None
    batch = client.batch(FUNCTIONS[fleet], items, id=batch_id, timeout=limit)

    def gathered(seconds: float) -> list[Any]:
        if not batch.wait(seconds):
            raise TimeoutError
        return batch.gather(return_exceptions=True)

    got, late = twice(gathered, trouble) if in_vain else (outcome(gathered), None)
    came = _as_they_came(batch) if trouble.place == "input" else late or got
    if batch_id:
        batch.delete()
    if trouble.place == "input":  # it is raised instead of the results; those come one by one
        return Got(came, got, VALUE if late == came else late)
    return Got(came[:-1], got if in_vain else came[-1], late and late[-1])


def _as_they_came(batch: Any) -> list[Any]:
    found: list[Any] = []

    def read(_: float) -> None:
        found.extend(seen.value for seen in batch.as_completed())

    outcome(read)
    return sorted(found)


def by_named_batch(client: Cluster, fleet: str, trouble: Trouble, *, in_vain: bool) -> Got:
    batch_id = re.sub("[^a-zA-Z]", "-", f"{trouble.place}-{trouble.fault}-{fleet}")
    return by_batch(client, fleet, trouble, in_vain=in_vain, batch_id=batch_id)


def by_plain_call(app: Celery, fleet: str, trouble: Trouble, *, in_vain: bool) -> Got:
    """Celery reads its results in whichever `get` runs, and raises there what one of them raises: good ones first."""
    limits = {"soft_time_limit": LIMIT_SECONDS, "time_limit": LIMIT_SECONDS + 1} if "hang" in trouble.fault else {}
    send = partial(app.send_task, f"{on_cpu.__module__}.on_{fleet}", queue=fleet, **limits)
    calls = [send((item,)) for item in GOOD]
    if trouble.place != "receive":
        calls.append(send((trouble,)))
    good = [outcome(partial(_result, call)) for call in calls[:3]]
    bad_call = partial(_result, calls[3] if calls[3:] else send((trouble,)))
    bad, late = twice(bad_call, trouble) if in_vain else (outcome(bad_call), None)
    return Got(good, bad, late)


def _result(call: Any, seconds: float) -> Any:
    try:
        return call.get(timeout=seconds)
    finally:
        call.forget()


DOORS: dict[str, Callable[..., Got]] = {
    "submit": by_submit,
    "map": by_map,
    "batch": by_batch,
    "named": by_named_batch,
    "plain": by_plain_call,
}
