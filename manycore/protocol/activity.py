"""What the slots of each worker do now, as their heartbeats say: shown to people, and to nobody else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from manycore.protocol import keys
from manycore.protocol.junk import UNREADABLE, number, whole


@dataclass(frozen=True, slots=True)
class Busy:
    """A slot that runs something: of a chunk its batch and the item, if that can be told; of a plain call its task.

    `process` is its process id, `since` when that began (epoch seconds of the server).
    """

    process: int
    task: str
    since: float
    batch: str | None = None
    items: str = ""
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """One worker. `leases` counts the messages that it holds, `memory` is of all its processes, in bytes."""

    worker: str
    slots: int
    queues: tuple[str, ...]
    leases: int
    memory: int
    busy: tuple[Busy, ...]

    def written(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def shown(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def activities(client: Any) -> list[Activity]:
    """Those of all live workers, by name. Raises redis-py's errors when the server is away."""
    names = sorted(client.zrange(keys.WORKERS, 0, -1))
    found = client.mget([keys.of_worker(keys.activity, name) for name in names]) if names else []
    return [activity for name, text in zip(names, found, strict=True) if (activity := _read(name, text)) is not None]


def _read(name: bytes, text: bytes | None) -> Activity | None:
    """One of them; None for what is not there, or is nobody's of ours."""
    try:
        said: Mapping[str, Any] = json.loads(text or b"")
        busy = tuple(map(_busy, said["busy"]))
        queues = tuple(map(str, said["queues"]))
        slots, leases, memory = whole(said["slots"]), whole(said["leases"]), whole(said["memory"])
        return Activity(name.decode(errors="replace"), slots, queues, leases, memory, busy)
    except UNREADABLE:
        return None


def _busy(slot: Mapping[str, Any]) -> Busy:
    """What a slot does, each part of its own type: anybody can have written it."""
    batch, item = slot["batch"], slot["item"]
    return Busy(
        whole(slot["process"]),
        str(slot["task"]),
        number(slot["since"]),
        None if batch is None else str(batch),
        str(slot["items"]),
        None if item is None else whole(item),
    )
