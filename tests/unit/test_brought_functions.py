"""`FunctionShipper`: calls of many functions, of which each brings its own along."""

from __future__ import annotations

import functools
import gc
import pickle
import threading
import weakref
from types import MethodType, SimpleNamespace
from typing import Any, cast

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


def test_only_what_was_made_anew_goes_along() -> None:
    @functools.wraps(known)
    def around(value: int) -> int:
        return known(value)

    def inner() -> None: ...

    async def awaited() -> None: ...

    there = Methods()
    for function in (inner, lambda: 1, there.plain):
        assert shipper().goes_along(function)
    for other in (plain, known, around, awaited, there.awaited, "task", len, functools.partial(plain, 1), 5):
        assert not shipper().goes_along(other)


def test_what_was_called_before_does_not() -> None:
    """It may keep something from call to call, and is built once from then on."""
    mine, there, one, other = shipper(), Methods(), lambda: 1, lambda: 2
    mine.together([one, there.plain])
    mine.submitted(other)
    for function in (one, other, there.plain):
        assert not mine.goes_along(function)
    assert mine.goes_along(Methods().plain)
    assert mine.goes_along(lambda: 1)


def test_of_what_cannot_be_known_nothing_goes_along() -> None:
    class Bare:
        __slots__ = ()

        def method(self) -> None: ...

    assert not shipper().goes_along(Bare().method)


def test_nothing_is_kept_to_know_it() -> None:
    mine, there, function = shipper(), Methods(), lambda: 1
    mine.together([function, there.plain])
    kept = weakref.ref(there), weakref.ref(function)
    del there, function
    gc.collect()
    assert [ref() for ref in kept] == [None, None]


def test_nobodys_code_is_run_to_know_it() -> None:
    class Foreign(type):
        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError(f"foreign code was run: {name}")

    class Odd(metaclass=Foreign):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"foreign code was run: {name}")

        def __eq__(self, other: object) -> bool:
            raise AssertionError("foreign code was run")

        __hash__ = None  # type: ignore[assignment]

        def method(self) -> None: ...

    method = MethodType(vars(type)["__dict__"].__get__(Odd)["method"], Odd())
    assert shipper().goes_along(method)


def test_with_an_initializer_none_goes_along() -> None:
    mine = shipper()
    mine.initializer = Initializer(plain, (1,))
    assert not mine.goes_along(lambda: 1)


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


def test_with_other_modules_what_it_imports_is_looked_at_anew() -> None:
    mine, looked_at = shipper(), list[str]()
    mine._packages = cast(Any, SimpleNamespace(check=lambda name, function, digest, *_: looked_at.append(digest)))
    for archive in ("a" * 32, "b" * 32, "b" * 32):
        code = SimpleNamespace(digest=archive)
        mine._code = cast(Any, SimpleNamespace(mention=lambda _: None, current=lambda code=code, **_: code, files={}))
        mine.together([lambda: 1])
    first, second, third = looked_at
    assert first != second == third
