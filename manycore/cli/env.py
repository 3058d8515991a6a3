"""`manycore env`: what a client must export to reach the compose stack of this machine.

The stack's secrets are in a volume. This copies those of the client into a folder that only its user may read, with
the address of the published port, and prints where they are: no password is shown, or inherited
by other programs. It needs Docker, not the stack's Python packages.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manycore.cli.terminal import in_words
from manycore.protocol.python import Python, here, shown, written

if TYPE_CHECKING:
    from manycore.protocol.roster import Worker

SECRETS = "/secrets/client/."
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


in_folder = click.option(
    "-C",
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The folder with docker-compose.yml.",
)
"""Of each command that needs the stack of this machine."""


@click.command(short_help="Print the exports for a client of the running stack.")
@in_folder
@click.option(
    "--secrets",
    type=click.Path(path_type=Path),
    default=None,
    help="Where the client's secrets go. [default: secrets/, beside docker-compose.yml]",
)
def env(directory: Path, secrets: Path | None) -> None:
    """Print the exports for a client of the running stack: eval "$(manycore env)".

    With them, as comments, the fleets that there are.
    """
    found = client_environment(directory, secrets)
    with in_words():
        workers = workers_at(Path(found["MANYCORE_URL_FILE"]))
    click.echo("unset MANYCORE_URL")  # it would win over the file
    for name, value in found.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    for line in fleets_of(workers):
        click.echo(f"# {line}")
    others = sorted({worker.python for worker in workers} - {here()})
    if others:
        click.echo(_other_pythons(others), err=True)


def client_environment(directory: Path, secrets: Path | None = None) -> dict[str, str]:
    """Copy the client's secrets into the folder `secrets` and give the variables that lead to the stack.

    Raises `click.ClickException` where there is no stack, or Docker fails.
    """
    project = project_of(directory.resolve())
    folder = (secrets or project / "secrets").resolve()
    container = docker("compose", "ps", "--all", "--quiet", "init", cwd=project)
    if not container:
        raise click.ClickException("The stack has not been started. Run: docker compose up -d --wait")
    _make_private(folder)
    docker("cp", "--quiet", f"{container.split()[0]}:{SECRETS}", str(folder), cwd=project)
    for name in ("url", "key"):
        (folder / name).chmod(0o600)
    published = docker("compose", "port", "redis", "6379", cwd=project)
    (folder / "url").write_text(_at((folder / "url").read_text().strip(), published) + "\n")
    return {"MANYCORE_URL_FILE": str(folder / "url"), "MANYCORE_KEY_FILE": str(folder / "key")}


def workers_at(url_file: Path) -> list[Worker]:
    """The workers of every fleet that are there now; none while the server does not answer."""
    import redis  # here, and not above: only this command needs a server

    from manycore.protocol.broker import BRIEF_SECONDS, connect
    from manycore.protocol.roster import live_workers
    from manycore.protocol.settings import load_settings

    client = connect(load_settings(url=url_file.read_text().strip()), BRIEF_SECONDS)
    try:
        return live_workers(client)
    except redis.RedisError:
        return []
    finally:
        client.close()


def fleets_of(workers: list[Worker]) -> list[str]:
    """A line for each fleet: its slots and workers, and their Python."""
    lines = []
    for fleet in sorted({queue for worker in workers for queue in worker.queues}):
        mine = [worker for worker in workers if fleet in worker.queues]
        pythons = ", ".join(map(written, sorted({worker.python for worker in mine})))
        slots, count = sum(worker.slots for worker in mine), len(mine)
        lines.append(f"fleet {fleet}: {_many(slots, 'slot')} of {_many(count, 'worker')}, Python {pythons}")
    return lines or ["no fleet: no worker is there"]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _other_pythons(others: list[Python]) -> str:
    theirs = ", ".join(map(shown, others))
    return (
        f"Workers have {theirs}, this is {shown(here())}. What a script itself defines goes to them as source; what "
        "has none (typed at a prompt, made by exec) cannot go. For a stack with this Python: manycore up"
    )


def project_of(start: Path) -> Path:
    """The folder of the compose file: this one, or the nearest above."""
    for folder in (start, *start.parents):
        if any((folder / name).exists() for name in COMPOSE_FILES):
            return folder
    raise click.ClickException(f"There is no docker-compose.yml in {start} or above. Name its folder with -C.")


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise click.ClickException(f"{folder} belongs to another user. Name another folder with --secrets.")
    folder.chmod(0o700)


def _at(url: str, published: str) -> str:
    """The address with the host and port that the stack publishes in the place of those within its network."""
    credentials, _, place = url.rpartition("@")
    return f"{credentials}@{published.replace('0.0.0.0', '127.0.0.1')}/{place.partition('/')[2]}"


def docker(*arguments: str, cwd: Path) -> str:
    """What the command prints. Raises `click.ClickException` with what it complains of."""
    try:
        done = subprocess.run(["docker", *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError:
        raise click.ClickException("`docker` is not on PATH. Install it, or run this where the stack runs.") from None
    except subprocess.CalledProcessError as exc:
        raise click.ClickException(f"`docker {arguments[0]}` failed: {exc.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise click.ClickException(f"`docker {arguments[0]}` did not answer. Does the engine run?") from None
    return done.stdout.strip()
