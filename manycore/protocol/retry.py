"""When a failed item runs again: exponential backoff with full jitter. A pure policy; nothing here waits.

Full jitter (a uniform draw below the exponential bound) spreads the retries of items that failed together; see
Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import random

from manycore.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a retry. Times are in seconds; `jitter=False` waits the whole bound."""

    initial: float = 0.5
    factor: float = 2.0
    maximum: float = 60.0
    jitter: bool = True

    def __post_init__(self) -> None:
        given = repr(self)
        try:
            for name in ("initial", "factor", "maximum"):  # Python's own: NumPy's are read only where there is NumPy
                object.__setattr__(self, name, float(getattr(self, name)))
        except (TypeError, ValueError, OverflowError) as exc:
            raise SettingsError(f"{given:.200}: give numbers: initial and maximum in seconds, and factor.") from exc
        object.__setattr__(self, "jitter", bool(self.jitter))
        if not (self.initial >= 0 and self.maximum >= 0 and self.factor >= 1):
            raise SettingsError(f"{given:.200}: initial and maximum must not be negative, factor must be at least 1.")

    def bound(self, attempt: int) -> float:
        """The longest wait after the failed `attempt` (the first is 1), in seconds."""
        try:
            return min(self.maximum, self.initial * self.factor ** (attempt - 1))
        except OverflowError:  # floats end there; every sensible maximum is reached long before
            return self.maximum if self.initial else 0.0

    def delay(self, attempt: int, draw: Callable[[], float] = random) -> float:
        """The wait after the failed `attempt`, in seconds; `draw` gives a number in [0, 1)."""
        return self.bound(attempt) * (draw() if self.jitter else 1.0)


DEFAULT_BACKOFF = Backoff()


def backoff_of(value: Backoff | float) -> Backoff:
    """Read the `backoff` argument: a `Backoff`, or its initial wait in seconds."""
    return value if isinstance(value, Backoff) else Backoff(initial=value)
