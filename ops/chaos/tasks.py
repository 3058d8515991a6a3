"""Tasks that the workers of the rig know by name: for the io fleet, and for plain Celery calls."""

from __future__ import annotations

from time import sleep

from manycore import task
from ops.chaos.items import DEADLY, END, POISON, START, Flaw, answer, kind_of, misbehave, note, seconds_of
from ops.chaos.items import work as mixed


@task(name="chaos.wait", fleet="io")
def wait(index: int, *, seed: int, batch: str, folder: str) -> int:
    """An item that waits, and beside which others do: one that kills takes its whole worker along."""
    kind = kind_of(seed, index)
    note(folder, DEADLY if kind in POISON else START, batch, index)
    sleep(2 * seconds_of(seed, index))
    if kind not in POISON:
        note(folder, END, batch, index)
    misbehave(kind)
    return answer(seed, index)


@task(name="chaos.plain")
def plain(index: int, seed: int, batch: str, folder: str) -> int:
    """A plain call: of those that `work` lets leave, which Celery takes for a shutdown, it makes an error."""
    if kind_of(seed, index) == "leave":
        note(folder, START, batch, index)
        note(folder, END, batch, index)
        raise Flaw(index)
    return mixed(index, seed=seed, batch=batch, folder=folder)
