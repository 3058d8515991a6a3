"""What slots do is read from anybody's writing: each part has its type, or the record counts as nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.protocol.activity import Activity, Busy, activities

SLOT = {"process": 7, "task": "t", "since": 1.5, "batch": "b", "items": "items 0-9", "item": 3}
WORKER = {"worker": "w", "slots": 2, "queues": ["cpu"], "leases": 1, "memory": 5, "busy": [SLOT]}


def read(text: object) -> list[Activity]:
    client: Any = SimpleNamespace(zrange=lambda *_: [b"w"], mget=lambda _: [text])
    return activities(client)


def test_what_a_worker_writes_is_read() -> None:
    told = Activity("w", 2, ("cpu",), 1, 5, (Busy(7, "t", 1.5, "b", "items 0-9", 3), Busy(8, "plain", 2.5)))
    assert read(told.written().encode()) == [told]


@pytest.mark.parametrize("part", [{"batch": ["x"]}, {"task": {}}, {"items": 5}])
def test_each_part_has_its_type(part: dict[str, object]) -> None:
    ((slot,),) = (found.busy for found in read(json.dumps(WORKER | {"busy": [SLOT | part]}).encode()))
    assert hash(slot)
    assert all(isinstance(text, str) for text in (slot.batch, slot.task, slot.items))


@pytest.mark.parametrize(
    "written",
    [
        None,
        b"junk",
        b"[]",
        b"{}",
        *(
            json.dumps(WORKER | part).encode()
            for part in ({"busy": 5}, {"slots": "x"}, {"leases": None}, {"memory": 1e400})
        ),
        *(
            json.dumps(WORKER | {"busy": [SLOT | part]}).encode()
            for part in ({"since": None}, {"item": "z"}, {"process": None}, {"since": 1e400})
        ),
    ],
)
def test_junk_is_nobody(written: bytes | None) -> None:
    assert read(written) == []
