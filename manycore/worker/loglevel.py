"""The option of each command that runs a worker: how severe a message has to be to be logged."""

from __future__ import annotations

import click

with_loglevel = click.option(
    "--loglevel",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
    default="WARNING",
    show_envvar=True,
    help="Least severe level to log.",
)
