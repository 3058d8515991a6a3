"""`manycore worker`: this machine takes part in a cluster, in the foreground, until it is stopped.

The same worker as the stack's, with the same checks, leases and clean stop: Ctrl-C or SIGTERM lets running items end
and gives the rest back.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from manycore.errors import ManycoreError
from manycore.fleet import check_fleet
from manycore.worker.loglevel import with_loglevel

if TYPE_CHECKING:
    from celery import Celery

    from manycore.protocol.settings import Settings

THREADS_PER_CPU = 8
TOLD = ("URL", "URL_FILE", "KEY", "KEY_FILE", "CA_FILE")
"""The settings that a token is instead of."""


@click.command(short_help="Take part in a cluster with this machine.")
@click.option("--fleet", default="cpu", help="The fleet to be in: any name.")
@click.option("--slots", type=click.IntRange(1), help="Items at a time.  [default: one per CPU; 8 threads per CPU]")
@click.option(
    "--pool",
    type=click.Choice(["prefork", "threads"]),
    help="Processes, or threads of one.  [default: threads for io, else prefork]",
)
@click.option("--url", metavar="ADDRESS", help="The server.  [default: MANYCORE_URL, MANYCORE_URL_FILE]")
@click.option("--join", "token", metavar="TOKEN", help="What `join-token` printed; `-`: on standard input; @FILE.")
@with_loglevel
def worker(
    fleet: str,
    slots: int | None,
    pool: Literal["prefork", "threads"] | None,
    url: str | None,
    token: str | None,
    loglevel: str,
) -> None:
    """Run a worker until Ctrl-C, SIGTERM or SIGHUP, which let running items end."""
    from manycore.local.cpus import granted_cpus
    from manycore.worker.launch import launch

    if url and token is not None:
        raise click.UsageError("--url and --join both say where the server is. Give one of them.")
    if token == "":
        raise click.UsageError("--join is empty. Is the variable set that the token comes from?")
    pool = pool or ("threads" if fleet == "io" else "prefork")
    try:
        check_fleet(fleet)
        if token and token != "-" and not token.startswith("@"):
            _hide(token)
        settings = _invited(_token(token)) if token else _settings(url=url)
        slots = slots or granted_cpus() * (THREADS_PER_CPU if pool == "threads" else 1)
        click.echo(f"Joining {_place(settings)} as {slots} slots of the fleet {fleet!r}. Ctrl-C ends it.", err=True)
    except ManycoreError as exc:
        raise click.ClickException(str(exc)) from exc
    launch(
        lambda: _make_app(settings),
        pool=pool,
        slots=slots,
        queue=fleet,
        name=f"{fleet}.{os.getpid()}@%h",  # a machine may have several of one fleet
        loglevel=loglevel,
    )


def _make_app(settings: Settings) -> Celery:
    from manycore.worker.app import create_worker_app
    from manycore.worker.checks import check_company, check_server, check_settings

    check_settings(settings)
    check_server(settings)
    check_company(settings)
    return create_worker_app(settings)


def _settings(**given: Any) -> Settings:
    from manycore.protocol.settings import load_settings

    return load_settings(**given)


def _place(settings: Settings) -> str:
    from manycore.protocol.settings import redacted

    return redacted((settings.url or "").partition("?")[0]) or "no server"


def _hide(token: str) -> None:
    """Start again with the token on standard input: arguments are there for everybody on this machine to see.

    Raises `SettingsError` for what is none: it may be a part of any argument.
    """
    from manycore.protocol.invitation import Invitation

    Invitation.parse(token)
    given, taken = os.pipe()
    os.set_inheritable(given, True)
    os.write(taken, token.encode()[:60_000])  # less than a pipe holds
    os.close(taken)
    os.dup2(given, 0)
    arguments = [argument.replace(token, "-") for argument in sys.orig_argv[1:]]
    os.execv(sys.executable, [sys.executable, *arguments])


def _token(text: str) -> str:
    if text == "-":
        return sys.stdin.read(65_536)
    try:
        return Path(text[1:]).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise click.ClickException(f"The join token's file {text[1:]} cannot be read: {exc}.") from exc


def _invited(token: str) -> Settings:
    """Settings of this machine, with what the token says instead of what the environment does."""
    from manycore.protocol.invitation import Invitation

    invitation = Invitation.parse(token)
    for name in TOLD:
        os.environ.pop(f"MANYCORE_{name}", None)
    return _settings(url=invitation.url, key=invitation.key, ca_file=_authority(invitation.authority))


def _authority(text: str) -> Path | None:
    """The authority's certificate in a file, which OpenSSL wants; there is nothing secret in it."""
    if not text:
        return None
    folder, owner = Path(tempfile.mkdtemp(prefix="manycore-")), os.getpid()

    def forget() -> None:
        if os.getpid() == owner:  # not a child
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(forget)
    path = folder / "ca.crt"
    path.write_text(text)
    return path
