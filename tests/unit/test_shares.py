"""`Shares`: one hold for all batches that need a thing; idle things leave, and a hold that begins is no release's."""

from __future__ import annotations

from time import monotonic

from manycore.protocol.shares import MAX_IDLE, Shares


def held(*batches: str, digest: str = "d", size: int = 1) -> Shares:
    shares = Shares()
    hold(shares, digest, *batches, size=size)
    return shares


def hold(shares: Shares, digest: str, *batches: str, size: int = 1) -> None:
    for batch in batches:
        shares.note(digest, shares.holder(digest, batch), batch, size, monotonic() + 60)


def test_the_first_batch_gives_its_name_and_the_next_ones_need_no_hold() -> None:
    shares = held("a")
    assert shares.holder("d", "b") == "a"
    assert shares.use("d", "b", monotonic())
    assert not shares.use("other", "b", monotonic())


def test_it_leaves_after_its_last_user() -> None:
    shares = held("a", "b")
    shares.leave("a")
    assert shares.drop_idle(0.0) == []
    shares.leave("b")
    assert shares.drop_idle(60.0) == []
    assert [share.digest for share in shares.drop_idle(0.0)] == ["d"]
    assert not shares.use("d", "c", monotonic())


def test_who_needs_it_before_it_has_left_keeps_it() -> None:
    shares = held("a")
    shares.leave("a")
    assert shares.use("d", "b", monotonic())
    assert shares.drop_idle(0.0) == []


def test_a_hold_anew_has_another_name_than_the_one_that_is_being_released() -> None:
    shares = held("a")
    shares.leave("a")
    gone = shares.drop_idle(0.0)
    assert shares.holder("d", "a") != "a"
    shares.dropped(gone)
    assert shares.holder("d", "a") == "a"


def test_what_may_not_be_released_is_tried_again_and_is_not_certain() -> None:
    shares = held("a")
    shares.leave("a")
    shares.put_back(shares.drop_idle(0.0))
    assert not shares.use("d", "b", monotonic())
    assert [share.digest for share in shares.drop_idle(0.0)] == ["d"]


def test_what_is_doubted_is_held_again_by_the_same_name() -> None:
    shares = held("a")
    shares.doubt({"other"})
    assert shares.use("d", "b", monotonic())
    shares.doubt(None)
    assert not shares.use("d", "b", monotonic())
    assert shares.holder("d", "b") == "a"


def test_a_batch_that_goes_on_lets_go_of_what_it_needs_no_more() -> None:
    shares = Shares()
    for number in range(MAX_IDLE + 1):
        hold(shares, str(number), "submit")
    hold(shares, "0", "map")
    assert not shares.crowded("submit")
    hold(shares, "more", "submit")
    assert shares.crowded("submit")
    gone = {share.digest for share in shares.prune("submit", {"more"})}
    assert gone == {str(number) for number in range(1, MAX_IDLE + 1)}
