"""When failures end a batch early: `never`, `now,fail=N`, `soon,fail=P%`, as GNU parallel's `--halt` says it.

`now` gives up the items that are running too, which run on for nothing; `soon` waits for them. A pure policy; the batch
acts on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from manycore.errors import SettingsError

MIN_JUDGED_ITEMS = 10
"""A percentage says nothing about the first few items; GNU parallel uses a floor too."""

_PATTERN = re.compile(r"(now|soon),\s*fail=(\d+)(%?)")


@dataclass(frozen=True, slots=True)
class Halt:
    """Ends a batch after `failures` failed items, or after that percentage of those that finished."""

    when: Literal["never", "now", "soon"] = "never"
    failures: int = 0
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Halt:
        """Read a policy. Raises `SettingsError` for anything but the three forms."""
        if text == "never":
            return cls()
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if not match or not 1 <= int(match[2]) <= (100 if match[3] else int(match[2])):
            raise SettingsError(
                f"halt={text!r} is no policy. Use 'never', 'now,fail=N' or 'soon,fail=N' (N failed items), "
                "or 'now,fail=P%' or 'soon,fail=P%' (P from 1 to 100 percent of the finished items)."
            )
        return cls("now" if match[1] == "now" else "soon", int(match[2]), bool(match[3]))

    def reached(self, done: int, failed: int) -> bool:
        """Whether a batch with `done` finished items, `failed` of them failed, has to end."""
        if self.when == "never":
            return False
        if not self.percent:
            return failed >= self.failures
        return done >= MIN_JUDGED_ITEMS and failed * 100 >= self.failures * done

    def __str__(self) -> str:
        return "never" if self.when == "never" else f"{self.when},fail={self.failures}{'%' * self.percent}"


NEVER = Halt()
