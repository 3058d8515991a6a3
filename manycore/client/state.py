"""The life of a lane: four states, and which may follow which."""

from __future__ import annotations

from typing import Literal

State = Literal["open", "stopping", "ended", "failed"]
"""`open` takes items in; `stopping` takes none and waits for what is out; `ended` has every outcome; `failed` none
that can still come."""
_NEXT: dict[State, frozenset[State]] = {
    "open": frozenset({"stopping", "ended", "failed"}),
    "stopping": frozenset({"ended", "failed"}),
    "ended": frozenset(),
    "failed": frozenset(),
}


def following(state: State, wanted: State) -> State:
    """`wanted`, if it may follow `state`; anything else is a mistake of ours."""
    if wanted not in _NEXT[state]:
        raise AssertionError(f"A lane that is {state} cannot become {wanted}.")
    return wanted
