"""`NotPicklable` says where the part is that cannot be pickled."""

import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from manycore.errors import NotPicklable
from manycore.protocol import culprit
from manycore.protocol.pickling import dumps

LOCK = threading.Lock()


class Client:
    def __init__(self) -> None:
        self.name = "client"
        self.sockets = [1, {"main": LOCK}]

    def close(self) -> None:
        pass


class LeavesOut:
    """Its lock is not pickled; what it keeps beside is."""

    def __init__(self, kept: Any) -> None:
        self.lock, self.kept = LOCK, kept

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": self.kept}


class Slotted:
    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = LOCK


class Listed(list[Any]):
    pass


def by_value(source: str) -> Any:
    """What a program calls `work`, with its global `client`."""
    space = {"__name__": "__main__", "client": Client(), "LOCK": LOCK}
    exec(source, space)
    return space["work"]


def local(number: int) -> Any:
    lock = LOCK
    return lambda: (lock, number)


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([1, (2, LOCK)], "its [1][1]"),
        ({"a": 1, "b": {"c": LOCK}}, "its ['b']['c']"),
        ({"a": generator()}, "its ['a']"),
        (Client(), "its sockets[1]['main']"),
        ([Client()], "its [0].sockets[1]['main']"),
        (LeavesOut([generator()]), "its kept[0]"),
        (Slotted(), "its held"),
        (Listed([1, LOCK]), "its [1]"),
        (functools.partial(int, LOCK), "its args[0]"),
        (Client().close, "its __self__.sockets[1]['main']"),
        ({LOCK: 1}, "a key of it"),
        ({LOCK}, "an element of it"),
        (local(1), "its variable lock"),
        (lambda lock=LOCK: lock, "a default of it"),
        (lambda *, lock=LOCK: lock, "its default of lock"),
        (by_value("def work(): return client"), "its global client.sockets[1]['main']"),
        (by_value("def work(): return lambda: LOCK"), "its global LOCK"),
        (by_value("def other(): return LOCK\ndef work(): return other()"), "its global other, its global LOCK"),
        (by_value("def work(client): return client.LOCK()\nwork.held = [LOCK]"), "its held[0]"),
        (by_value("class work:\n  held = LOCK\n"), "its held"),
        (LOCK, ""),
    ],
)
def test_the_place_is_named(value: Any, place: str) -> None:
    with pytest.raises(NotPicklable, match=r"thread\.lock|generator") as caught:
        dumps(value)
    said = str(caught.value)
    assert f"(at {place})" in said if place else "(at" not in said


def test_a_value_that_holds_itself() -> None:
    value: list[Any] = [LOCK]
    value.insert(0, value)
    with pytest.raises(NotPicklable, match=r"\(at its \[1\]\)"):
        dumps(value)


class Raises:
    def __init__(self) -> None:
        self.asked = 0

    def __reduce__(self) -> Any:
        self.asked += 1
        raise ValueError("not today")

    def __getattribute__(self, name: str) -> Any:
        assert name in ("asked", "__reduce_ex__", "__reduce__", "__class__"), f"{name} is nobody's business"
        return object.__getattribute__(self, name)


class Makes:
    def __reduce__(self) -> Any:
        return int, (threading.Lock(),)


def test_nothing_is_asked_twice() -> None:
    """It may hang, count, or end the process."""
    raises = Raises()
    with pytest.raises(NotPicklable, match=r"not today \(at its \[1\]\)"):
        dumps([1, raises])
    assert raises.asked == 1


def test_a_part_that_is_made_as_it_is_pickled_has_no_place() -> None:
    with pytest.raises(NotPicklable, match=r"object\. "):
        dumps([Makes()])


def test_it_does_not_look_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(culprit, "SECONDS", 0.001)
    with pytest.raises(NotPicklable, match=r"object\. "):
        dumps([*range(1_000_000), LOCK])


def test_what_is_too_deep_is_nobodys_fault() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotPicklable) as caught:
        dumps([Client, deep])
    assert "(at" not in str(caught.value)
