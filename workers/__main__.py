"""`python -m workers cpu|io|...`: runs a fleet's worker in this container."""

from __future__ import annotations

import click

from manycore.errors import SettingsError
from manycore.worker.loglevel import with_loglevel
from workers.fleets import fleet_of


@click.command(context_settings={"auto_envvar_prefix": "MANYCORE", "show_default": True})
@click.argument("fleet")
@click.option(
    "--slots",
    type=click.IntRange(0),
    default=0,
    show_envvar=True,
    help="Items that run at a time; 0: what the CPUs suggest.",
)
@with_loglevel
def main(fleet: str, slots: int, loglevel: str) -> None:
    """Run a worker of FLEET until it is stopped."""
    try:
        chosen = fleet_of(fleet)
    except SettingsError as exc:
        raise click.ClickException(str(exc)) from exc
    chosen.run(slots or None, loglevel)


if __name__ == "__main__":
    main()
