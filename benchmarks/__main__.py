"""`python -m benchmarks`: measures manycore beside what people would use instead, and shows one table.

Each peer runs in processes of its own, on as many workers, and takes its turn in every round. It measures this machine
as it is now: on a shared one compare the ratios, not the rates. It does not measure clusters of several machines.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine, page, report, store, targets
from benchmarks.peers.roster import PEERS
from benchmarks.plot import draw
from benchmarks.results import Results
from benchmarks.run import MEASURES, OURS_ALONE, Plan, carry_out, split_by_installed
from manycore.local.cpus import granted_cpus

INTERRUPTED, TERMINATED = 130, 143  # what shells make of SIGINT and SIGTERM
WIDTH = 100
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--only", type=click.Choice([*MEASURES, *OURS_ALONE]), multiple=True, help="This measure; repeatable.")
@click.option("--peer", "peers", type=click.Choice(list(PEERS)), multiple=True, help="This peer; repeatable.")
@click.option("--repeat", "rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds a measure.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes of each peer  [default: the granted cores]")
@click.option("--json", "json_path", type=FILE, help="Also write all samples.")
@click.option("--plot", "plot_path", type=FILE, help="Also draw them.")
@click.option("--write", "page_path", type=FILE, help="Also replace the marked block of this page.")
@click.option("--load", "load_path", type=FILE, help="Measure nothing: show what --json wrote.")
@click.option("--check", is_flag=True, help="Exit with 1 if a target is missed.")
def main(
    only: tuple[str, ...],
    peers: tuple[str, ...],
    rounds: int,
    workers: int | None,
    json_path: Path | None,
    plot_path: Path | None,
    page_path: Path | None,
    load_path: Path | None,
    check: bool,
) -> None:
    """Measure, show, and judge."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # what was started is ended on the way out
    plan = Plan(peers or tuple(PEERS), only or (*MEASURES, *OURS_ALONE), rounds, workers or granted_cpus())
    run = store.from_json(load_path.read_text()) if load_path else _measure(plan, json_path)
    _show(run)
    if plot_path is not None and (problem := draw(run, plot_path)):
        click.echo(problem, err=True)
    if page_path is not None:
        page.write(page_path, run)
    if check and (missed := targets.missed(run.results)):
        for target in missed:
            click.echo(f"Missed: {target.cell} should be {target.says}.", err=True)
        sys.exit(1)


def _measure(plan: Plan, json_path: Path | None) -> store.Run:
    there, absent = split_by_installed(plan.peers)
    described = machine.describe() | {"worker processes": f"{plan.workers} each", "rounds": str(plan.rounds)}
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    run = store.Run(Results(), described, command, store.now())
    if absent:
        names = ", ".join(PEERS[name].title for name in absent)
        click.echo(f"Not installed, so not measured (`make bench-all` installs them): {names}", err=True)
    try:
        with Console(stderr=True).status("Starting") as status:
            for step in carry_out(Plan(there, plan.measures, plan.rounds, plan.workers), run.results):
                status.update(step)
                if json_path is not None:  # after each sample: a run that is killed keeps what it has
                    json_path.write_text(store.as_json(run))
    except KeyboardInterrupt:
        click.echo("Interrupted; what was measured until then:", err=True)
        _show(run)
        sys.exit(INTERRUPTED)
    return run


def _show(run: store.Run) -> None:
    console, notes = Console(highlight=False, width=WIDTH), report.Footnotes()
    console.print("\n".join(f"[dim]{name:<17}[/] {value}" for name, value in run.machine.items()))
    console.print(report.of_peers(run.results, notes))
    console.print(report.of_targets(run.results))
    console.print(report.LEGEND, style="dim")
    console.print("At its best, as its documentation has it:", style="dim")
    console.print("\n".join(report.settings(run.results.entries())), style="dim", markup=False)
    console.print("\n".join(notes.lines()), markup=False)


if __name__ == "__main__":
    main()
