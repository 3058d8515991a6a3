"""Raises an error that is kept, and may be raised again: of a batch or a client that has ended, of an item.

Each raise puts the frames that it passes before those that the error has already. Raised for each of a thousand calls,
one error would tell of all of them, and hold all that their frames hold.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn

_TRACEBACK: Any = vars(BaseException)["__traceback__"]
"""Not by an attribute of the error's own, which is its author's."""


def raise_again(error: BaseException, kept_by: object = None) -> NoReturn:
    """Raise it with the frames that it came with, and those of this time: none of the times before.

    `kept_by` is for one that may have passed here before it came, as that of an input which reads another batch.
    """
    keeper = id(kept_by)
    try:
        raise with_frames(error, _came_with(frames_of(error), keeper))
    finally:
        del error, kept_by  # the traceback has this frame, which would hold them


def frames_of(error: object) -> TracebackType | None:
    """What an error has passed so far."""
    return _TRACEBACK.__get__(error) if issubclass(type(error), BaseException) else None


def with_frames(error: BaseException, frames: TracebackType | None) -> BaseException:
    """This error, which forgets what it has passed but for these."""
    if issubclass(type(error), BaseException):  # whoever sets a future's may set anything
        _TRACEBACK.__set__(error, frames)
    return error


def _came_with(frames: TracebackType | None, keeper: int) -> TracebackType | None:
    """What was there before this keeper raised it: that comes behind our frame, and its callers' before."""
    at = frames
    while at is not None:
        # of a frame that somebody has cleared, as Celery does, nobody can tell whose it was
        if at.tb_frame.f_code is raise_again.__code__ and at.tb_frame.f_locals.get("keeper", keeper) == keeper:
            return at.tb_next
        at = at.tb_next
    return frames


def raisable(error: BaseException) -> BaseException:
    """What an iterator, or a coroutine, raises for the error of an item: a `StopIteration` would say that there is
    nothing more. As a generator, and so the standard library's `map`, it says `RuntimeError` instead."""
    if not issubclass(type(error), StopIteration):
        return error
    told = RuntimeError("an item raised StopIteration")
    told.__cause__ = error
    return told
