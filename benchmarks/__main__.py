"""`python -m benchmarks`: measures manycore's local cluster against `ProcessPoolExecutor` and shows a table.

Both run in this process's one session, on as many worker processes, and take turns. It measures this machine as it is
now: on a shared one compare the ratios, not the rates. It does not measure clusters of several machines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console

from benchmarks import efficiency, latency, machine, report, safety, targets, throughput
from benchmarks.figure import Figure
from benchmarks.peers import Peers, open_peers
from manycore.local.cpus import granted_cpus

Measure = Callable[[Peers], Iterator[Figure]]
MEASURES: dict[str, Measure] = {
    "submit": throughput.submit,
    "map": throughput.map_items,
    "roundtrip": latency.round_trip,
    "efficiency": efficiency.efficiency,
    "tail": efficiency.tail,
    "safety": safety.safety,
    "payload": throughput.payload,
    "broadcast": throughput.broadcast,
    "cold": latency.cold_start,
    "import": latency.imports,
}
INTERRUPTED = 130  # what shells make of SIGINT


@click.command(help=__doc__.partition("\n")[0])
@click.option("--only", type=click.Choice(list(MEASURES)), multiple=True, help="Measure this alone; may be repeated.")
@click.option("--repeat", "rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds a measure.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes of each executor  [default: the granted cores]")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Also write all samples.")
@click.option("--check", is_flag=True, help="Exit with 1 if a target is missed.")
def main(only: tuple[str, ...], rounds: int, workers: int | None, json_path: Path | None, check: bool) -> None:
    """Measure, show, and judge."""
    workers = workers or granted_cpus()
    described = machine.describe() | {"worker processes": f"{workers} each"}
    console = Console(highlight=False)
    console.print("\n".join(f"[dim]{name:<17}[/] {value}" for name, value in described.items()))
    figures: list[Figure] = []
    try:
        _measure(only or MEASURES, workers, rounds, figures)
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted; what was measured until then:")
        sys.exit(INTERRUPTED)
    finally:
        console.print(report.table(figures))
        console.print(report.legend(rounds), style="dim")
        console.print(report.notes(figures))
    if json_path is not None:
        json_path.write_text(report.as_json(figures, described))
    if check:
        _judge(figures)


def _measure(names: Iterable[str], workers: int, rounds: int, into: list[Figure]) -> None:
    """Append the figures of these measures to `into`, as they are ready."""
    with Console(stderr=True).status("Starting both executors") as status, open_peers(workers, rounds) as peers:
        for name in names:
            status.update(f"Measuring {name}")
            into += MEASURES[name](peers)


def _judge(figures: list[Figure]) -> None:
    missed = targets.missed(figures)
    for target, figure in missed:
        click.echo(
            f"Missed: {figure.name} should be {target.says}, is {figure.value:,.4g} {figure.unit}, "
            f"{figure.ratio:.2f} times the pool.",
            err=True,
        )
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
