"""`manycore up`: builds and starts the compose stack of this machine, with the Python that this runs on.

Functions by value then run on the workers as they are. It needs Docker, not the stack's Python packages.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import click

from manycore.cli.env import docker, in_folder, project_of
from manycore.protocol.python import here, written

OURS = "manycore:latest"


@click.command(short_help="Build and start the stack, with this Python.")
@in_folder
@click.option("--python", metavar="VERSION", default=written(here()), help="Python of the image's.")
@click.option("--build/--no-build", default=None, help="[default: unless MANYCORE_IMAGE names an image of your own]")
def up(directory: Path, python: str, build: bool | None) -> None:
    """Build the stack's image with this Python, start the stack, and wait until it is healthy.

    Workers of another version are stopped as ever: what runs ends, the rest goes on with the new ones.
    """
    project = project_of(directory.resolve())
    os.environ["MANYCORE_PYTHON"] = python  # it wins over .env
    services = json.loads(docker("compose", "config", "--format", "json", cwd=project)).get("services") or {}
    if "init" not in services:
        raise click.ClickException(f"The stack in {project} is another project's. Name the folder of ours with -C.")
    if build is None:
        image = services["init"].get("image", OURS)
        build = image == OURS
        if not build:
            click.echo(f"{image} is an image of your own, and not built here: build it with Python {python}.", err=True)
    command = ["docker", "compose", "up", "-d", "--wait", *(["--build"] if build else [])]
    done = subprocess.run(command, cwd=project, check=False)
    if done.returncode != 0:
        raise click.ClickException("`docker compose up` failed. What it says is above; then: docker compose logs")
