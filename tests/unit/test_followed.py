"""What a child notes of the calls that follow in a delivery, and what its parent reads of that."""

from __future__ import annotations

from pathlib import Path

from manycore.worker.followed import Call, Notes, Reader, read

OWN, NEXT, LAST = (Call(f"submit-1.{n}", f"item {n}, batch submit-1", 100.0 + n, 0.5, "1 ok") for n in range(3))


def taken(reader: Reader) -> list[Call]:
    return [call for line in reader.take() if (call := read(line))]


def test_nothing_is_written_until_a_call_follows(tmp_path: Path) -> None:
    Notes(tmp_path, OWN.id)
    reader = Reader(tmp_path, OWN.id)
    assert not reader.has_any
    assert taken(reader) == []
    reader.end()
    assert not list(tmp_path.iterdir())


def test_the_deliverys_own_call_comes_first(tmp_path: Path) -> None:
    notes, reader = Notes(tmp_path, OWN.id), Reader(tmp_path, OWN.id)
    notes.add(OWN)
    notes.add(NEXT)
    assert reader.has_any
    assert taken(reader) == [OWN, NEXT]
    notes.add(LAST)
    assert taken(reader) == [LAST]
    assert taken(reader) == []
    assert reader.has_any
    reader.end()
    assert not list(tmp_path.iterdir())


def test_half_a_line_is_read_when_it_is_whole_and_junk_is_left_out(tmp_path: Path) -> None:
    notes, reader = Notes(tmp_path, OWN.id), Reader(tmp_path, OWN.id)
    notes.add(OWN)
    notes.add(NEXT)
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b"{}\n[1]\n\xff\n[")
    assert taken(reader) == [OWN, NEXT]
    with path.open("ab") as file:
        file.write(b"\n")
    assert taken(reader) == []


def test_the_id_of_a_batch_names_no_other_folder(tmp_path: Path) -> None:
    own = OWN._replace(id="submit-/../../x.1")
    notes = Notes(tmp_path, own.id)
    notes.add(own)
    assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path]
    assert taken(Reader(tmp_path, own.id)) == [own]


def test_what_cannot_be_written_costs_nobody_anything(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "gone", OWN.id)
    notes.add(NEXT)
