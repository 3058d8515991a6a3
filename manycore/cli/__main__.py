"""`manycore COMMAND`, or `python -m manycore.cli COMMAND`: one file beside this one for each command."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from manycore import __version__
from manycore.cli.batches import batches
from manycore.cli.cancel import cancel
from manycore.cli.env import env
from manycore.cli.exporter import exporter
from manycore.cli.join import join_token
from manycore.cli.logs import logs
from manycore.cli.quarantine import quarantine
from manycore.cli.run import run
from manycore.cli.up import up
from manycore.cli.worker import worker


class _Commands(click.Group):
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _full_disk_in_words():  # at what --help says
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _full_disk_in_words():
            return super().invoke(ctx)


@contextmanager
def _full_disk_in_words() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise click.ClickException(f"{exc.filename or 'The output'} cannot be written: {exc.strerror}.") from exc


@click.group(cls=_Commands, context_settings={"show_default": True})
@click.version_option(__version__, package_name="manycore")
def main() -> None:
    """Run CPU-bound Python on every core."""


main.add_command(batches)
main.add_command(cancel)
main.add_command(env)
main.add_command(exporter)
main.add_command(join_token)
main.add_command(logs)
main.add_command(quarantine)
main.add_command(run)
main.add_command(up)
main.add_command(worker)

if __name__ == "__main__":
    main()
