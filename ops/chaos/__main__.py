"""`python -m ops.chaos`: the mix of all faults; with a command, one scenario.

Exit code: 0 if every promise was kept, 1 if not, 130 after Ctrl-C.
"""

from __future__ import annotations

import secrets
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from ops.chaos import report
from ops.chaos.doors.all import DOORS
from ops.chaos.faults import FAULTS
from ops.chaos.mix import Plan, Result, run_mix
from ops.chaos.rig import AUDIT_SECONDS, LEASE_SECONDS
from ops.chaos.scenarios.brpop_gap import brpop_gap
from ops.chaos.scenarios.client_kills import client_kills
from ops.chaos.scenarios.leases import long_item, recovery
from ops.chaos.scenarios.local import kill_local, local
from ops.chaos.scenarios.server_trouble import redis_pause, redis_restarts
from ops.chaos.vanilla import Vanilla, run_vanilla


@click.group(invoke_without_command=True, context_settings={"show_default": True})
@click.option("--seed", type=int, default=None, help="Repeats a run: same faults, same order. [default: random]")
@click.option("--seconds", type=float, default=600.0, help="How long faults are injected.")
@click.option("--fault", "names", multiple=True, type=click.Choice(list(FAULTS)), help="Only these. [default: all]")
@click.option("--kills", type=int, default=None, help="Stop after so many SIGKILLs of busy workers, not by time.")
@click.option("--min-items", type=int, default=0, help="With --kills: and not before so many items.")
@click.option("--door", "door_names", multiple=True, type=click.Choice(list(DOORS)), help="Only these. [default: all]")
@click.option(
    "--items", type=click.IntRange(1), default=1000, help="Items of a named batch; other doors take their part."
)
@click.option("--gap", "gap_seconds", type=float, default=0.8, help="Mean seconds between two faults.")
@click.option("--settle", "settle_seconds", type=float, default=90.0, help="Seconds to end in, after the last fault.")
@click.option(
    "--silent", "silent_seconds", type=float, default=90.0, help="Seconds of silence that make a client hang."
)
@click.option("--foreign/--no-foreign", default=True, help="Whether another Celery application is on the server too.")
@click.option("--vanilla/--no-vanilla", default=True, help="Whether plain Celery is measured beside it.")
@click.option("--local", "local_rounds", default=3, help="How often each part of a local cluster is killed after it.")
@click.option("--setting", "pairs", multiple=True, metavar="NAME=VALUE", help="A MANYCORE_ setting of all processes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), default=None, help="Write all figures there.")
@click.pass_context
def main(
    context: click.Context,
    /,
    seed: int | None,
    names: tuple[str, ...],
    door_names: tuple[str, ...],
    pairs: tuple[str, ...],
    vanilla: bool,
    local_rounds: int,
    json_path: Path | None,
    **options: Any,
) -> None:
    """Run batches with a known answer while everything around them fails; exit 1 if a promise is broken."""
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # ends all that was started, like Ctrl-C
    seed = secrets.randbelow(10**6) if seed is None else seed
    settings = dict(pair.split("=", 1) for pair in pairs)
    context.obj = Setup(seed, settings, json_path, local_rounds)
    click.echo(f"seed {seed}")
    click.echo(f"lease {LEASE_SECONDS:g} s (production: 30 s), audit {AUDIT_SECONDS:g} s (5 s), to see many of both")
    if context.invoked_subcommand is None:
        faults = [FAULTS[name] for name in names or FAULTS]
        doors = [DOORS[name] for name in door_names or DOORS]
        context.obj.mix(Plan(seed, faults, doors, settings=settings, **options), vanilla=vanilla)


@dataclass(frozen=True)
class Setup:
    """What all commands share."""

    seed: int
    settings: dict[str, str]
    json_path: Path | None
    local_rounds: int

    @property
    def command(self) -> str:
        """What repeats this run: the same faults in the same order."""
        given = sys.argv[1:]
        seed = [] if "--seed" in given else ["--seed", str(self.seed)]
        return shlex.join(["python", "-m", "ops.chaos", *seed, *given])

    def mix(self, plan: Plan, *, vanilla: bool) -> NoReturn:
        """Run the mix, and vanilla beside it; say what came of both."""
        result = run_mix(plan, click.echo)
        if self.local_rounds:
            click.echo("local: a cluster of the client's own, parts of which are killed")
            kill_local(result.verdict, self.seed, self.settings, self.local_rounds)
        self._print(result)
        beside = None
        if vanilla:
            click.echo("\nvanilla: plain Celery, the same items, the same kills")
            beside = run_vanilla(self.seed, click.echo)
            click.echo("\n".join(report.vanilla_of(beside)))
        self._end(result, beside)

    def conclude(self, result: Result) -> NoReturn:
        """Say what came of a scenario."""
        self._print(result)
        self._end(result)

    def _print(self, result: Result) -> None:
        for part in (
            report.table_of(result),
            report.doors_of(result.verdict),
            report.figures_of(result.verdict),
            report.pace_of(result),
        ):
            click.echo("\n".join(part) + "\n")
        click.echo("\n".join(report.conclusion_of(result.verdict, result.folder, self.command)))

    def _end(self, result: Result, vanilla: Vanilla | None = None) -> NoReturn:
        if self.json_path:
            report.write_json(self.json_path, self.seed, result, vanilla)
        sys.exit(1 if result.verdict.broken else 0)


@main.command("brpop-gap")
@click.option("--cuts", default=200, help="How many messages are lost.")
@click.option("--settle", default=90.0, help="Seconds to end in, after the last cut.")
@click.pass_obj
def brpop_gap_command(setup: Setup, cuts: int, settle: float) -> None:
    """Cut connections exactly where a message has left its queue, and nobody has it."""
    setup.conclude(brpop_gap(setup.seed, setup.settings, cuts, settle))


@main.command("redis-restarts")
@click.option("--restarts", default=10, help="How often the server is killed.")
@click.pass_obj
def redis_restarts_command(setup: Setup, restarts: int) -> None:
    """SIGKILL the server in the middle of batches."""
    setup.conclude(redis_restarts(setup.seed, setup.settings, restarts))


@main.command("redis-pause")
@click.option("--seconds", default=120.0, help="How long the server hangs.")
@click.pass_obj
def redis_pause_command(setup: Setup, seconds: float) -> None:
    """SIGSTOP the server under load."""
    setup.conclude(redis_pause(setup.seed, setup.settings, seconds))


@main.command("recovery")
@click.option("--kills", default=10, help="How many hosts are killed.")
@click.pass_obj
def recovery_command(setup: Setup, kills: int) -> None:
    """Time from the SIGKILL of a host to its chunk running elsewhere."""
    setup.conclude(recovery(setup.seed, setup.settings, kills))


@main.command("long-item")
@click.option("--seconds", default=120.0, help="How long the item runs.")
@click.option("--lease", default=30.0, help="The lease, in seconds.")
@click.pass_obj
def long_item_command(setup: Setup, seconds: float, lease: float) -> None:
    """One item longer than several leases runs once."""
    click.echo(f"here: lease {lease:g} s")
    setup.conclude(long_item(setup.seed, {"lease_seconds": f"{lease:g}"} | setup.settings, seconds))


@main.command("client-kills")
@click.option("--kills", default=10, help="How often the client is killed.")
@click.pass_obj
def client_kills_command(setup: Setup, kills: int) -> None:
    """SIGKILL the client at random moments of submit and gather."""
    setup.conclude(client_kills(setup.seed, setup.settings, kills))


@main.command("local")
@click.option("--rounds", default=3, help="How often each part is killed.")
@click.pass_obj
def local_command(setup: Setup, rounds: int) -> None:
    """SIGKILL the supervisor, the server and the worker of a local cluster under its client's calls."""
    setup.conclude(local(setup.seed, setup.settings, rounds))


@main.command("kills")
@click.option("--kills", default=200, help="How many SIGKILLs of busy workers.")
@click.option("--min-items", default=50_000, help="Over how many items at least.")
@click.pass_obj
def kills_command(setup: Setup, kills: int, min_items: int) -> None:
    """SIGKILL busy children, parents and hosts, and nothing else."""
    faults = [fault for fault in FAULTS.values() if fault.kills]
    plan = Plan(setup.seed, faults, kills=kills, min_items=min_items, settings=setup.settings)
    setup.mix(plan, vanilla=False)


def run() -> None:
    """`main`, but for Ctrl-C: click would end with 1, as a broken promise does."""
    try:
        main.main(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        click.echo("interrupted; everything that was started has ended", err=True)
        sys.exit(130)


if __name__ == "__main__":
    run()
