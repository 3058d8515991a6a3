"""`manycore join-token`: prints the one line that another machine joins with.

Of the running stack it takes what its workers have: address, password, signing key, and the authority's certificate.
Nothing of it is written to the disk. It needs Docker, not the stack's Python packages.
"""

from __future__ import annotations

import io
import socket
import sys
import tarfile
from pathlib import Path

import click

from manycore.cli.env import docker, in_folder, project_of
from manycore.client.progress import is_terminal
from manycore.errors import ManycoreError

SECRETS = "/secrets/worker/."
TLS_PORT = "6380"


@click.command("join-token", short_help="Print the line that another machine joins with.")
@in_folder
@click.option("--host", default=None, help="This machine, as the other one names it.  [default: its address]")
@click.option("--token-only", is_flag=True, help="The token alone, for a file.")
def join_token(directory: Path, host: str | None, token_only: bool) -> None:
    """Print the line to paste on another machine, which has manycore installed.

    Whoever has it can run code on the workers: treat it as a password.
    """
    from manycore.protocol.address import Address
    from manycore.protocol.invitation import Invitation

    project = project_of(directory.resolve())
    files = _secrets(project)
    listening, port = _published(project)
    place = host or (listening if listening not in ("0.0.0.0", "::") else _own_address())
    try:
        known = Address.parse(files["url"])
        token = Invitation(_url(known.user or "", known.password or "", place, port), files["key"], files["ca.crt"])
    except ManycoreError as exc:
        raise click.ClickException(str(exc)) from exc
    if listening in ("127.0.0.1", "::1") and host is None:
        click.echo(
            "The stack listens on this machine alone. For others: MANYCORE_LISTEN=0.0.0.0 in .env, then "
            "docker compose up -d --wait, and make a token again. (It opens the TLS port alone.)",
            err=True,
        )
    click.echo(token.token() if token_only else f"manycore worker --join {token.token()}")
    if is_terminal(sys.stdout):
        click.echo("It is a password: whoever has it runs code on the workers.", err=True)


def _url(user: str, password: str, host: str, port: int) -> str:
    """Which name the certificate bears does not matter: its authority signs no other."""
    bracketed = f"[{host.strip('[]')}]" if ":" in host else host
    return f"rediss://{user}:{password}@{bracketed}:{port}/0?ssl_check_hostname=false"


def _secrets(project: Path) -> dict[str, str]:
    container = docker("compose", "ps", "--all", "--quiet", "init", cwd=project)
    if not container:
        raise click.ClickException("The stack has not been started. Run: docker compose up -d --wait")
    archive = docker("cp", f"{container.split()[0]}:{SECRETS}", "-", cwd=project)
    with tarfile.open(fileobj=io.BytesIO(archive.encode())) as tar:
        members = {Path(member.name).name: tar.extractfile(member) for member in tar if member.isfile()}
    files = {name: file.read().decode().strip() for name, file in members.items() if file is not None}
    missing = {"url", "key", "ca.crt"} - set(files)
    if missing:
        raise click.ClickException(
            f"The stack's workers have no {', '.join(sorted(missing))}: it is older than TLS. Run: "
            "docker compose build, then docker compose up -d --wait"
        )
    return files


def _published(project: Path) -> tuple[str, int]:
    found = docker("compose", "port", "redis", TLS_PORT, cwd=project)
    host, _, port = found.rpartition(":")
    return host.strip("[]"), int(port)


def _own_address() -> str:
    """The address that this machine has towards others. Nothing is sent: connecting a datagram socket picks one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
