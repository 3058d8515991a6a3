"""`Ledger`: items are answered once, chunks finish with their last item."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from manycore.protocol.ledger import Ledger

counts = st.lists(st.integers(1, 8), max_size=8)
blocks = st.builds(lambda start, size: range(start, start + size), st.integers(0, 50), st.integers(0, 20))
answers = st.lists(blocks | st.lists(st.integers(0, 50), max_size=6))


def ledger_of(*sizes: int) -> Ledger:
    ledger = Ledger()
    for number, count in enumerate(sizes):
        ledger.send(f"c{number}", count, 100 * count, f"t{number}" if number % 2 else None)
    return ledger


@given(counts, answers)
def test_each_item_is_fresh_once(sizes: list[int], answered: list[Sequence[int]]) -> None:
    ledger, model = ledger_of(*sizes), set[int]()
    for indices in answered:
        fresh = [index for part in ledger.answer(indices)[0] for index in part.span]
        assert fresh == [i for i in dict.fromkeys(indices) if i < sum(sizes) and i not in model]
        model.update(fresh)
    assert sorted(i for span in ledger.unanswered() for i in span) == sorted(set(range(sum(sizes))) - model)
    assert ledger.complete == (len(model) == sum(sizes))


@given(counts, answers)
def test_a_chunk_finishes_with_its_last_item(sizes: list[int], answered: list[Sequence[int]]) -> None:
    ledger = ledger_of(*sizes)
    left = {f"c{n}": set(range(sum(sizes[:n]), sum(sizes[: n + 1]))) for n in range(len(sizes))}
    for indices in answered:
        done = {name for name, items in left.items() if items and not items - set(indices)}
        left = {name: items - set(indices) for name, items in left.items()}
        assert sorted(sent.id for sent in ledger.answer(indices)[1]) == sorted(done)
        still_open = {name for name, items in left.items() if items}
        assert {name for name in left if ledger.find(name)} == still_open
        assert ledger.open_chunks == len(still_open)
        assert ledger.open_bytes == sum(100 * sizes[int(name[1:])] for name in still_open)


@given(counts, answers, st.booleans(), st.data())
def test_what_failed_is_counted_and_kept_where_it_may_run_again(
    sizes: list[int], answered: list[Sequence[int]], kept: bool, data: st.DataObject
) -> None:
    ledger, first = Ledger(keeps_failures=kept), dict[int, bool]()
    for number, count in enumerate(sizes):
        ledger.send(f"c{number}", count, 1, None)
    for indices in answered:
        start = data.draw(st.integers(0, len(indices)))
        errors = range(start, data.draw(st.integers(start, len(indices))))
        ledger.answer(indices, data.draw(st.sampled_from([errors, dict.fromkeys(errors)])))
        for offset, index in enumerate(indices):
            if index < sum(sizes):
                first.setdefault(index, offset in errors)
    failed = [index for index, has_failed in sorted(first.items()) if has_failed]
    assert ledger.failed == len(failed)
    assert [i for span in ledger.failures.common(0, sum(sizes)) for i in span] == (failed if kept else [])


def test_payloads_beside_their_messages_are_known_while_their_chunks_are_open() -> None:
    ledger = ledger_of(2, 2, 2, 2)
    assert ledger.open_payloads() == ["t1", "t3"]
    ledger.answer(range(2, 4))
    assert ledger.open_payloads() == ["t3"]


def test_an_empty_ledger_is_complete_and_knows_no_costs() -> None:
    assert Ledger().complete
    assert Ledger().seconds_per_item is None


def test_costs_are_a_mean_over_the_answered_items() -> None:
    ledger = ledger_of(10)
    ledger.answer(range(4))
    ledger.work_seconds += 2.0
    assert ledger.seconds_per_item == 0.5
