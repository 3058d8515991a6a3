"""`python -m ops.chaos`: the mix of all faults; with a command, one deterministic scenario."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click

from ops.chaos import report
from ops.chaos.faults import FAULTS
from ops.chaos.mix import Plan, Result, run_mix
from ops.chaos.rig import AUDIT_SECONDS, LEASE_SECONDS


@click.group(invoke_without_command=True, context_settings={"show_default": True})
@click.option("--seed", type=int, default=None, help="Repeats a run: same faults, same order. [default: random]")
@click.option("--seconds", type=float, default=600.0, help="How long faults are injected.")
@click.option("--fault", "names", multiple=True, type=click.Choice(list(FAULTS)), help="Only these. [default: all]")
@click.option("--kills", type=int, default=None, help="Stop after so many SIGKILLs of busy workers, not by time.")
@click.option("--min-items", type=int, default=0, help="With --kills: and after so many items.")
@click.option("--items", type=click.IntRange(1), default=2000, help="Items a batch.")
@click.option("--gap", type=float, default=0.8, help="Mean seconds between two faults.")
@click.option("--settle", type=float, default=90.0, help="Seconds for the batches to end after the last fault.")
@click.option("--setting", "pairs", multiple=True, metavar="NAME=VALUE", help="A MANYCORE_ setting of all processes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), default=None, help="Write all figures there.")
@click.pass_context
def main(
    context: click.Context,
    seed: int | None,
    seconds: float,
    names: tuple[str, ...],
    kills: int | None,
    min_items: int,
    items: int,
    gap: float,
    settle: float,
    pairs: tuple[str, ...],
    json_path: Path | None,
) -> None:
    """Run batches with a known answer while everything around them fails; exit 1 if a promise is broken."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    settings = dict(pair.split("=", 1) for pair in pairs)
    click.echo(f"seed {seed}")
    if context.invoked_subcommand is not None:
        context.obj = (seed, settings)
        return
    click.echo(f"lease {LEASE_SECONDS:g} s (production: 30 s), audit {AUDIT_SECONDS:g} s (5 s), to see many of both")
    faults = [FAULTS[name] for name in names or FAULTS]
    plan = Plan(
        seed,
        faults,
        seconds=seconds,
        kills=kills,
        min_items=min_items,
        items=items,
        gap_seconds=gap,
        settle_seconds=settle,
        settings=settings,
    )
    result = run_mix(plan, click.echo)
    _print(result)
    if json_path:
        report.write_json(json_path, seed, result)
    sys.exit(1 if result.verdict.broken else 0)


def _print(result: Result) -> None:
    for part in (report.table_of(result), report.figures_of(result.verdict), report.pace_of(result)):
        click.echo("\n".join(part) + "\n")
    click.echo("\n".join(report.conclusion_of(result.verdict, result.folder)))


if __name__ == "__main__":
    main()
