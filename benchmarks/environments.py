"""Where the peers are installed: `python -m benchmarks.environments` makes what `environments.toml` names.

An environment that cannot be made is said and left out; the others are made all the same. One that is there, and was
made from the same line, is kept.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks.peers.roster import PEERS

FOLDER = Path(__file__).parents[1] / ".peers"
PINS: dict[str, list[str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
STAMP = "installed.json"
"""Written last, with the line that it was made from: without it, an environment is half made."""


def python_of(name: str) -> Path | None:
    """The interpreter that has this peer: its environment's, or this one. None if it is installed nowhere."""
    if is_made(name):
        return FOLDER / name / "bin" / "python"
    module = PEERS[name].module if name in PEERS else {"plot": "matplotlib"}[name]
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # of the package that the module would be in
        found = None
    return Path(sys.executable) if found else None


def is_made(name: str) -> bool:
    """Whether its environment is there, from the pins of now."""
    stamp = FOLDER / name / STAMP
    return name in PINS and stamp.exists() and json.loads(stamp.read_text()) == PINS[name]


def make(name: str) -> str | None:
    """Make the environment anew. Gives pip's last word if that failed."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    done = subprocess.run([*command, *PINS[name]], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
    (folder / STAMP).write_text(json.dumps(PINS[name]))
    return None


@click.command(help=__doc__.partition("\n")[0])
def main() -> None:
    """Make what is missing, and say what could not be made."""
    failed = {}
    for name in PINS:
        if is_made(name):
            continue
        click.echo(f"Installing {' '.join(PINS[name])}")
        if reason := make(name):
            failed[name] = reason
    for name, reason in failed.items():
        click.echo(f"{name} could not be installed: {reason}", err=True)


if __name__ == "__main__":
    main()
