"""The table in Markdown, and the block of a page that it replaces."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cells import COLUMNS
from benchmarks.numbers import number
from benchmarks.peers.roster import OURS, PEERS
from benchmarks.report import LEGEND, Footnotes, cell_text, settings
from benchmarks.results import Results
from benchmarks.sample import Entry
from benchmarks.store import Run
from benchmarks.targets import TARGETS

BEGIN = "<!-- benchmarks: written by `python -m benchmarks --write`, from here -->"
END = "<!-- benchmarks: to here -->"


def replaced(page: str, block: str) -> str:
    """The page with this block between its marks. Raises `ValueError` if it has not one pair of them, in order."""
    before, begin, rest = page.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after or BEGIN in inside:
        raise ValueError(f"the page needs one pair of marks, in this order: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block}{END}{after}"


def write(path: Path, run: Run) -> None:
    """Replace the block of this page by this run. Raises `ValueError` as `replaced` does."""
    path.write_text(replaced(path.read_text(), markdown(run)))


def markdown(run: Run) -> str:
    """Machine, table of the peers, table of the targets, settings, reasons."""
    machine, notes = run.machine, Footnotes()
    where = ", ".join(machine[name] for name in ("CPU", "cores", "OS", "Python") if name in machine)
    head = f"`{run.command}`, {run.measured_at[:10]}: {where}; {machine.get('worker processes', '')}."
    tables = [_of_peers(run.results, notes), _of_targets(run.results)]
    best = "; ".join(settings(run.results.entries()))
    says = " ".join(LEGEND.split("\n"))
    reasons = ". ".join(line.rstrip(".") for line in notes.lines())
    return "\n\n".join([head, *tables, says, f"Best settings, of each peer's documentation: {best}.", reasons]) + "\n"


def _of_peers(results: Results, notes: Footnotes) -> str:
    heads = [" ".join(part for part in (cell.name, cell.unit) if part) for cell in COLUMNS]
    rows = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for entry in results.entries():
        bold = "**" if entry.peer == OURS else ""
        name = f"{PEERS[entry.peer].title}{', best' * entry.best}"
        cells = [f"{bold}{cell_text(results, entry, cell, notes)}{bold}" for cell in COLUMNS]
        rows.append(f"| {bold}{name}{bold} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _of_targets(results: Results) -> str:
    rows = ["| | manycore | against | has | ratio | target | |", "|---|---|---|---|---|---|---|"]
    for target in TARGETS:
        ours, rival = results.median(Entry(OURS), target.cell), results.rival(target.cell, target.peer)
        if ours is None:
            continue
        kept = {None: "not judged", True: "kept", False: "missed"}[target.kept(results)]
        if rival:
            title = f"{PEERS[rival.entry.peer].title}{', best' * rival.entry.best}"
            theirs = f"{title} | {number(rival.value)} | {rival.ratio:.2f}"
        else:  # it was not measured
            theirs = f"{PEERS[target.peer].title if target.peer else 'any peer'} | n/a | n/a"
        rows.append(f"| {target.cell} | {number(ours)} {target.unit} | {theirs} | {target.says} | {kept} |")
    return "\n".join(rows)
