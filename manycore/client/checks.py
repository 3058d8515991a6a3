"""What callers may pass to `Cluster` and its methods; each check raises with what would work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import overload

from manycore.errors import SettingsError
from manycore.protocol.priority import PRIORITIES, Priority

MAX_WORKERS = 4_096
MAX_TIMEOUT_SECONDS = 366 * 86_400
"""Of one item. The timers that hold it accept no infinity, and nobody waits for longer."""
BATCH_ID = re.compile(r"[A-Za-z0-9_:-]{1,120}")


def check_url(url: object) -> None:
    if url is not None and not isinstance(url, str):
        many = f" For {url} worker processes on this machine: Cluster(workers={url})." if type(url) is int else ""
        raise SettingsError(f"Cluster({url!r:.200}): the address of a cluster is a str, like 'redis://host'.{many}")


def check_workers(workers: int | None) -> int | None:
    if workers is None:
        return None
    if isinstance(workers, bool) or not isinstance(workers, Integral) or not 1 <= workers <= MAX_WORKERS:
        raise SettingsError(f"workers={workers!r}: give the number of worker processes, from 1 to {MAX_WORKERS:,}.")
    return int(workers)


@overload
def check_count(name: str, value: int) -> int: ...
@overload
def check_count(name: str, value: int | None) -> int | None: ...
def check_count(name: str, value: int | None) -> int | None:
    """Of `map`: raises what the standard library does. NumPy's numbers are numbers."""
    if value is None:
        return None
    if not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer or None, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be >= 1")
    return int(value)


def check_id_type(batch_id: object) -> None:
    """Of a batch that is looked for: one that nobody could have named is not there."""
    if not isinstance(batch_id, str):
        raise SettingsError(f"id={batch_id!r:.200}: the id of a batch is a str, not {type(batch_id).__name__}.")


def check_priority(priority: object) -> Priority:
    for known in PRIORITIES:
        if isinstance(priority, str) and priority == known:
            return known
    raise SettingsError(f"priority={priority!r:.200}: there is 'normal', and 'low', with which all others go first.")


def check_options(
    batch_id: str | None,
    retries: int,
    timeout: float | None,
    kwargs: Mapping[str, object] | None = None,
    on_change: str = "refuse",
) -> tuple[str | None, int, float | None, dict[str, object] | None]:
    """Of `batch`. Gives the first four as Python's own: another mapping is one of this process alone, NumPy's numbers
    are read only where there is NumPy."""
    if batch_id is not None:
        check_id_type(batch_id)
        if not BATCH_ID.fullmatch(batch_id):
            raise SettingsError(f"id={batch_id!r:.200}: a batch id has 1 to 120 letters, digits, '_', ':' or '-'.")
    if not isinstance(retries, Integral) or retries < 0:
        raise SettingsError(f"retries={retries!r}: give a number of further attempts, 0 for none.")
    if timeout is not None and not (isinstance(timeout, Real) and 0 < timeout <= MAX_TIMEOUT_SECONDS):
        raise SettingsError(
            f"timeout={timeout!r}: give seconds above 0, up to a year (31,622,400), or None for no limit."
        )
    if kwargs is not None and not (isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)):
        raise SettingsError(f"kwargs={kwargs!r:.200}: give a dict of keyword arguments by name, or None for none.")
    if on_change not in ("refuse", "accept"):
        raise SettingsError(f"on_change={on_change!r:.200}: give 'refuse' or 'accept'.")
    return (
        None if batch_id is None else str.__str__(batch_id),
        int(retries),
        None if timeout is None else float(timeout),
        None if kwargs is None else {str.__str__(name): value for name, value in kwargs.items()},
    )
