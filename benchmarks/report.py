"""Shows results: the table of all peers, and manycore against the best of them. For people; `store` is for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from benchmarks.cells import COLUMNS, Cell
from benchmarks.numbers import brief, number
from benchmarks.peers.roster import OURS, PEERS
from benchmarks.results import Results, Rival
from benchmarks.sample import Entry
from benchmarks.targets import TARGETS

MEASURE_OF = {cell.name: measure for measure, names in {
    "submit": ("submit",),
    "map": ("map",),
    "efficiency": ("efficiency, 1 ms", "efficiency, 10 ms", "efficiency, 100 ms", "tail"),
    "roundtrip": ("round trip, p50", "round trip, p99"),
    "payload": ("payload",),
    "broadcast": ("broadcast",),
    "cold": ("cold start",),
}.items() for cell in COLUMNS if cell.name in names}  # fmt: skip
LEGEND = """\
Efficiency, heavy tail: the ideal wall time over the measured one, of items that burn CPU time.
map: 1,000,000 no-ops, or as many as fit in four seconds. Round trip: of one call. Payload: 64 x 4
MiB there and back. Broadcast: 64 MB to 32 items. Cold start: new Python to first result; of peers
on Redis, the server runs already. ~: estimated from fewer items."""


class Footnotes:
    """Numbers the reasons for cells without a figure, each reason once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """The number of this text, from now on."""
        if text not in self.texts:
            self.texts.append(text)
        return _superscript(self.texts.index(text) + 1)

    def lines(self) -> list[str]:
        """Each number and its text."""
        return [f"{_superscript(index + 1)} {text}" for index, text in enumerate(self.texts)]


def label(entry: Entry) -> str:
    """The first cell of a row. The best setting stands below its peer, and is named under the table."""
    return "  at its best" if entry.best else PEERS[entry.peer].title


def cell_text(results: Results, entry: Entry, cell: Cell, notes: Footnotes) -> str:
    """A figure, or n/a and why; never a blank."""
    value = results.median(entry, cell.name)
    if value is not None:
        return "~" * results.estimated(entry, cell.name) + brief(value)
    sample = results.reason(entry, MEASURE_OF[cell.name])
    if sample is None:
        return f"n/a{notes.mark('not measured in this run')}"
    return f"n/a{notes.mark(('failed: ' if sample.failed else '') + sample.reason)}"


def of_peers(results: Results, notes: Footnotes) -> Table:
    """One row a peer and setting. Fits 100 columns."""
    shown = _table()
    shown.add_column("", no_wrap=True)
    for cell in COLUMNS:
        shown.add_column("\n".join(cell.heads or ()), justify="right", no_wrap=True)
    best = {cell.name: rival.entry for cell in COLUMNS if (rival := results.rival(cell.name))}
    for entry in results.entries():
        texts = [Text(cell_text(results, entry, cell, notes)) for cell in COLUMNS]
        for text, cell in zip(texts, COLUMNS, strict=True):
            text.stylize("bold" * (best.get(cell.name) == entry or entry.peer == OURS))
        shown.add_row(label(entry), *texts)
    return shown


def of_targets(results: Results) -> Table:
    """What manycore has to reach, and what it reached. Fits 100 columns."""
    shown = _table()
    for title in ("", "manycore", "", "against", "has", "ratio", "", "target"):
        shown.add_column(title, justify="right" if title in ("manycore", "has", "ratio") else "left", no_wrap=True)
    for target in TARGETS:
        ours = results.median(Entry(OURS), target.cell)
        if ours is None:
            continue
        rival = results.rival(target.cell, target.peer) if target.compares else results.rival(target.cell)
        kept = target.kept(results)
        verdict = Text("" if kept is None else "✓" if kept else "✗", style="green" if kept else "red")
        shown.add_row(target.cell, number(ours), target.unit, *_against(rival), verdict, target.says)
    return shown


def settings(entries: Sequence[Entry]) -> list[str]:
    """What each peer's best setting is."""
    return [f"{PEERS[entry.peer].title}: {PEERS[entry.peer].best}" for entry in entries if entry.best]


def _table() -> Table:
    """No lines between columns: there is no room for them."""
    return Table(box=None, padding=(0, 0, 0, 1), collapse_padding=True, pad_edge=False, header_style="dim")


def _superscript(count: int) -> str:
    return str(count).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _against(rival: Rival | None) -> tuple[str, str, str]:
    if rival is None:
        return "", "", ""
    name = PEERS[rival.entry.peer].title + ", best" * rival.entry.best
    return name, number(rival.value), f"{rival.ratio:.2f}"
