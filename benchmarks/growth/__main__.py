"""`python -m benchmarks.growth`: how manycore's costs grow, with items, slots, bytes, clients and history.

Each point runs in a process of its own. Points that fail are said and left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click

from benchmarks import machine, store
from benchmarks.growth import page
from benchmarks.growth.roster import STUDIES
from benchmarks.plot import in_environment
from benchmarks.sample import marked_run

TIMEOUT_SECONDS = 300
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--only", type=click.Choice(list(STUDIES)), multiple=True, help="This study; repeatable.")
@click.option("--small", is_flag=True, help="Few and small values: to see that it works.")
@click.option("--json", "json_path", type=FILE, help="Also write all points.")
@click.option("--write", "page_path", type=FILE, help="Also write the page, and its picture beside it.")
@click.option("--check", is_flag=True, help="Exit with 1 if a bar is missed.")
def main(only: tuple[str, ...], small: bool, json_path: Path | None, page_path: Path | None, check: bool) -> None:
    """Measure, show, write and judge."""
    if page_path is not None and page_path.exists() and (only or small):
        raise click.UsageError(f"{page_path} is a whole page, which --write replaces: leave out --only and --small.")
    described, when = machine.describe(), store.now()
    found: page.Found = {}
    for name in only or STUDIES:
        study = STUDIES[name]
        found[name] = {value: got for value in (study.small if small else study.values) if (got := _point(name, value))}
    if json_path is not None:
        json_path.write_text(json.dumps({"measured_at": when, "machine": described, "studies": found}, indent=1) + "\n")
    if page_path is not None:
        page_path.write_text(page.markdown(found, described, when))
        panels = [panel.drawn() for name, points in found.items() for panel in STUDIES[name].panels(points) if points]
        if problem := in_environment("curves", {"panels": panels}, page_path.with_suffix(".png")):
            click.echo(problem, err=True)
    if missed := page.missed(found):
        click.echo("\n".join(f"Missed: {line}" for line in missed), err=True)
        if check:
            sys.exit(1)


def _point(name: str, value: int) -> dict[str, float] | None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.growth.point", name, str(value)]
    with marked_run() as environment:
        try:
            done = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS)
            got: dict[str, float] = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError) as error:
            said = [] if isinstance(error, subprocess.TimeoutExpired) else done.stderr.decode().strip().splitlines()
            click.echo(f"{name} {value:,}: failed: {said[-1] if said else error}", err=True)
            return None
    click.echo(f"{name} {value:,}: " + ", ".join(f"{figure} {number:.4g}" for figure, number in got.items()))
    return got


if __name__ == "__main__":
    main()
