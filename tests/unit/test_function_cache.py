"""A process keeps the shipped functions that it used last, within their bounds."""

from __future__ import annotations

from manycore.worker import functions
from manycore.worker.functions import Function, FunctionCache


def function(name: str) -> Function:
    return Function(abs, {"name": name})


def filled(sizes: dict[str, int], code: str | None = None) -> tuple[FunctionCache, list[Function]]:
    cache, gone = FunctionCache(), []
    for digest, size in sizes.items():
        gone += cache.add(digest, function(digest), size, code)
    return cache, gone


def test_the_last_used_stay_within_the_bytes() -> None:
    third = functions.MAX_BYTES // 3
    cache, gone = filled({"a": third, "b": third, "c": third})
    assert not gone
    assert cache.get("a")
    assert cache.add("d", function("d"), third, None) == [function("b")]
    assert [bool(cache.get(digest)) for digest in "abcd"] == [True, False, True, True]


def test_one_that_is_too_large_stays_alone() -> None:
    cache, gone = filled({"a": 1, "huge": 2 * functions.MAX_BYTES})
    assert gone == [function("a")]
    assert cache.get("huge")
    assert cache.add("b", function("b"), 1, None) == [function("huge")]


def test_they_are_bounded_by_their_number_too() -> None:
    names = [str(number) for number in range(functions.MAX_FUNCTIONS + 2)]
    _, gone = filled(dict.fromkeys(names, 1))
    assert gone == [function("0"), function("1")]


def test_those_of_modules_that_are_dropped_are_forgotten_with_their_bytes() -> None:
    cache, _ = filled(
        {
            "a": functions.MAX_BYTES,
        },
        code="old",
    )
    assert cache.forget("old") == [function("a")]
    assert not cache.add("b", function("b"), functions.MAX_BYTES, "new")
    assert cache.get("b")
