"""`Window`: what an ordered reader holds back is counted, and forgotten once it is consumed."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from manycore.client import chunking
from manycore.client.window import Window
from manycore.protocol.ledger import Ledger


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=30), st.integers(1, 4))
def test_it_is_open_while_few_chunks_are_held(steps: list[tuple[int, int]], slots: int) -> None:
    window, stops, ledger = Window(ordered=True), [0], Ledger()
    for count, consumed in steps:
        stops.append(stops[-1] + count)
        window.left(stops[-1])
        window.consumed = min(stops[-1], window.consumed + consumed)
        held = sum(stop > window.consumed for stop in stops)
        assert window.is_open(ledger, slots) == (held <= slots or held < chunking.window_chunks(slots))


def test_what_was_consumed_is_not_kept() -> None:
    window = Window(ordered=True)
    for stop in range(1, 1_000):
        window.left(stop)
        window.consumed = stop
    assert len(window._held) == 1


class Meanwhile(int):
    """How far a reader is; while one thread compares it, another one asks the same window."""

    asked: Callable[[], object] | None = None

    def __ge__(self, other: int) -> bool:
        self.ask()
        return int(self) >= other

    def __lt__(self, other: int) -> bool:
        self.ask()
        return int(self) < other

    def ask(self) -> None:
        asked, self.asked = self.asked, None
        if asked is not None:
            asked()


def test_threads_may_ask_together() -> None:
    """Both took the same chunk for consumed and went to drop it: one dropped another, or found none."""
    window, ledger = Window(ordered=True), Ledger()
    for stop in (1, 2, 3):
        window.left(stop)
    window.consumed = seen = Meanwhile(1)
    seen.asked = lambda: window.is_open(ledger, slots=1)
    window.is_open(ledger, slots=1)
    assert window._held_chunks() == 2, "what was not consumed holds back"
