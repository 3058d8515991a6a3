"""What a child notes of the calls that follow in a delivery, and what its parent reads of that."""

from __future__ import annotations

from pathlib import Path

from manycore.worker.followed import Call, Notes, Reader

OWN, NEXT, LAST = (Call(f"submit-1.{n}", f"item {n}, batch submit-1", 100.0 + n, 0.5, "1 ok") for n in range(3))


def test_nothing_is_written_until_a_call_follows(tmp_path: Path) -> None:
    Notes(tmp_path, OWN)
    reader = Reader(tmp_path, OWN.id)
    assert not reader.has_any
    assert list(reader.take()) == []
    reader.end()
    assert not list(tmp_path.iterdir())


def test_the_deliverys_own_call_comes_first(tmp_path: Path) -> None:
    notes, reader = Notes(tmp_path, OWN), Reader(tmp_path, OWN.id)
    notes.add(NEXT)
    assert reader.has_any
    assert list(reader.take()) == [OWN, NEXT]
    notes.add(LAST)
    assert list(reader.take()) == [LAST]
    assert list(reader.take()) == []
    assert reader.has_any
    reader.end()
    assert not list(tmp_path.iterdir())


def test_half_a_line_is_read_when_it_is_whole_and_junk_is_left_out(tmp_path: Path) -> None:
    notes, reader = Notes(tmp_path, OWN), Reader(tmp_path, OWN.id)
    notes.add(NEXT)
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b"{}\n[1]\n\xff\n[")
    assert list(reader.take()) == [OWN, NEXT]
    with path.open("ab") as file:
        file.write(b"\n")
    assert list(reader.take()) == []


def test_the_id_of_a_batch_names_no_other_folder(tmp_path: Path) -> None:
    own = OWN._replace(id="submit-/../../x.1")
    notes = Notes(tmp_path, own)
    notes.add(NEXT)
    assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path]
    assert list(Reader(tmp_path, own.id).take()) == [own, NEXT]


def test_what_cannot_be_written_costs_nobody_anything(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "gone", OWN)
    notes.add(NEXT)
