"""`FunctionShipper`: calls of many functions, of which each brings its own along."""

from __future__ import annotations

import functools
import pickle
import threading

from manycore.client.initializer import Initializer
from manycore.errors import FunctionsNotAllowed, NotPicklable, PayloadTooLarge
from manycore.protocol import packing
from manycore.protocol.broker import FUNCTION_TASK
from manycore.task import task
from tests.shippers import shipper


def plain(value: int) -> int:
    return value + 1


@task(name="tasks.known", fleet="io")
def known(value: int) -> int:
    return value + 2


class Methods:
    def plain(self) -> None: ...

    async def awaited(self) -> None: ...


def test_only_plain_functions_and_methods_go_along() -> None:
    @functools.wraps(known)
    def around(value: int) -> int:
        return known(value)

    async def awaited() -> None: ...

    there = Methods()
    for function in (plain, lambda: 1, there.plain):
        assert shipper().goes_along(function)
    for other in (known, around, awaited, there.awaited, "task", len, functools.partial(plain, 1), 5):
        assert not shipper().goes_along(other)


def test_with_an_initializer_none_goes_along() -> None:
    mine = shipper()
    mine.initializer = Initializer(plain, (1,))
    assert not mine.goes_along(plain)


def test_what_goes_along_is_each_function_by_itself() -> None:
    lock = threading.Lock()
    program, (good, bad, other) = shipper().together([lambda value: value + 5, lambda: lock, plain])
    assert (program.task, program.digest, program.references, program.shadow) == (
        FUNCTION_TASK,
        None,
        [],
        "2 functions",
    )
    assert isinstance(bad, NotPicklable)
    assert isinstance(good, tuple)
    assert isinstance(other, tuple)
    assert (good[0], pickle.loads(good[1])(1), pickle.loads(other[1])) == (packing.name_of(lambda: 0), 6, plain)


def test_what_may_not_go_along_says_why() -> None:
    data = b"x" * 2_000
    _, (large,) = shipper(limit=2_000).together([lambda: data])
    _, (closed,) = shipper(allows_functions=False).together([plain])
    assert isinstance(large, PayloadTooLarge)
    assert isinstance(closed, FunctionsNotAllowed)
    _, (portable,) = shipper(python=(3, 99)).together([lambda value: value + 5])
    assert isinstance(portable, tuple)
    assert b"value + 5" in portable[1]
