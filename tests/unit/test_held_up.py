"""Arguments that wait for room: they try again as it comes free, and give up where nothing can free it."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import redis

from manycore.client import heldup
from manycore.client.heldup import HeldUp
from manycore.client.objects import Objects
from manycore.client.passing import Passing
from manycore.client.sharing import Sharing
from manycore.errors import ObjectStoreFull
from manycore.protocol.home import Home
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring, generate_key
from tests.lanes import SLOTS, Record, block_of, open_lane

ROOM = 1000


@pytest.fixture
def home(tmp_path: Path) -> Any:
    home = Home.make("test", tmp_path, ROOM)
    yield home
    home.close()


@pytest.fixture
def objects(home: Home) -> Objects:
    return Objects(home, redis.Redis(), Keyring.parse(generate_key()), Settings(), "here")


def test_arguments_that_pass_through_leave_room_for_results(home: Home) -> None:
    passing = Passing(home)
    passing.check(ROOM)  # a single one may take all
    passing.note("a", 400)
    passing.check(100)
    with pytest.raises(ObjectStoreFull):
        passing.check(101)
    assert not passing.has_room(101)
    passing.forget(["a", "of something else"])
    assert passing.has_room(ROOM)


def test_a_rest_goes_on_once_there_is_room(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heldup, "LOOK_SECONDS", 0.0)
    lane, held = open_lane(5, Record(), chunksize=5), HeldUp(objects, 60.0)
    cut = lane.next_cut(SLOTS)
    assert cut is not None
    ref = objects.put(bytes(500))
    held.hold(lane, cut, 2, 600)
    assert lane in held
    assert not held.may_go(lane)
    del ref
    assert held.may_go(lane)
    rest = held.take(lane)
    assert rest is not None
    assert (rest.first, list(rest.items)) == (2, [2, 3, 4])
    assert lane not in held


def test_it_waits_as_long_as_something_of_its_lane_is_out(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heldup, "LOOK_SECONDS", 0.0)
    lane, held = open_lane(5, Record(), chunksize=5), HeldUp(objects, 0.0)
    cut = lane.next_cut(SLOTS)
    assert cut is not None
    lane.sending("c", 1, 100, None)
    held.hold(lane, cut, 1, 2 * ROOM)
    assert not held.in_vain(lane)
    assert not held.may_go(lane)
    lane.arrived(block_of([0]), [None], {})
    while not held.may_go(lane):
        pass  # the clock has a step
    assert held.in_vain(lane)
    lane.fail(ValueError())
    assert not held.may_go(lane)
    held.forget(lane)
    assert lane not in held


def test_a_lane_that_has_sent_since_waits_anew(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of `submit` are one lane: one that waited an hour ago let the next be refused at once."""
    now = 0.0
    monkeypatch.setattr(heldup, "monotonic", lambda: now)
    lane, held = open_lane(5, Record(), chunksize=5), HeldUp(objects, 60.0)
    assert not held.in_vain(lane)
    now = 59.0
    held.has_sent(lane)
    now = 3600.0
    assert not held.in_vain(lane)
    now = 3661.0
    assert held.in_vain(lane)


def test_nothing_is_kept_of_a_lane_that_has_ended_meanwhile(objects: Objects) -> None:
    """As while its cut was packed: nobody would take it or forget it, and its items would stay for ever."""
    lane, held, sharing = open_lane(5, Record(), chunksize=5), HeldUp(objects, 60.0), Sharing(objects)
    cut = lane.next_cut(SLOTS)
    assert cut is not None
    lane.fail(ValueError())
    sharing.forget(lane)
    held.forget(lane)
    assert sharing.shared(lane, cut) is cut
    assert not held.in_vain(lane)
    held.hold(lane, cut, 2, 600)
    assert lane not in held
    assert not held, "the dispatcher looks no more often than ever"
    left, cut = ref(lane), None
    del lane
    gc.collect()
    assert left() is None


def test_where_the_place_was_taken_away_who_writes_says_so(home: Home, objects: Objects) -> None:
    shutil.rmtree(home.path)
    assert objects.has_room(1)
    home.close()
    assert objects.has_room(1)
