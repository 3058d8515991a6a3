"""A `concurrent.futures.Future` that can also be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future as ThreadFuture
from typing import Any, TypeVar

T = TypeVar("T")


class Future(ThreadFuture[T]):
    """The result of one `submit`. `await future` works in any running event loop."""

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()
