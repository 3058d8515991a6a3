"""The recipes of docs/operations.md reach every service that there is, also a fleet of the user's own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT

OPERATIONS = (ROOT / "docs/operations.md").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = ("redis", "init", "cpu", "gpu", "flower", "metrics", "prometheus")
STANDS_IN = """#!/bin/sh
echo "$*" >> "$LOG"
[ "$*" != "compose config --services" ] || printf '%s\\n' $SERVICES
"""


def asked(heading: str, folder: Path) -> list[list[str]]:
    """What the recipe below a heading asks of git and Docker."""
    _, language, recipe, *_ = re.split(r"```(.*)\n", OPERATIONS.partition(f"## {heading}\n")[2])
    assert language == "sh"
    for name in ("git", "docker"):
        (folder / name).write_text(STANDS_IN)
        (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin", "LOG": str(folder / "log"), "SERVICES": " ".join(SERVICES)}
    subprocess.run(["sh", "-euc", recipe], env=env, cwd=folder, check=True, timeout=10)
    return [line.split() for line in (folder / "log").read_text().splitlines()]


def test_an_upgrade_leaves_no_service_at_the_old_version(tmp_path: Path) -> None:
    first, last = [call[2:] for call in asked("Upgrade without losing work", tmp_path) if call[:2] == ["compose", "up"]]
    assert [word for word in first if word in SERVICES] == [name for name in SERVICES if name not in ("redis", "init")]
    assert [word for word in last if word in SERVICES] == ["redis"]


def test_a_backup_stops_whatever_there_is(tmp_path: Path) -> None:
    assert asked("Backup", tmp_path)[0] == ["compose", "stop"]


@pytest.mark.parametrize("fleet", re.findall(r"^    command: \[workers, (\w+)\]", COMPOSE, re.MULTILINE))
def test_how_many_containers_a_fleet_has_can_be_kept(fleet: str) -> None:
    """An `up` without `--scale` goes back to what the file says."""
    variable = f"MANYCORE_{fleet.upper()}_SCALE"
    assert f"    command: [workers, {fleet}]\n    scale: ${{{variable}:-1}}\n" in COMPOSE
    assert f"\n# {variable}=1" in (ROOT / ".env.example").read_text()
    assert f"`{variable}`" in OPERATIONS
