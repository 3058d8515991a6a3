"""`manycore up`: what it asks Docker for. That it works, tests/stack shows: its stack comes up so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from manycore.cli.__main__ import main

DOCKER = """#!/bin/sh
echo "$MANYCORE_PYTHON: $*" >> "$DOCKER_LOG"
if [ "$2" = config ]; then echo '{"services": {"'"$SERVICE"'": {"image": "'"$IMAGE"'"}}}'; else exit "$ENDS_WITH"; fi
"""
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def up(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *options: str,
    image: str = "manycore:latest",
    code: int = 0,
    service: str = "init",
) -> Result:
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    (folder / "docker-compose.yml").touch()
    for name, value in {
        "DOCKER_LOG": f"{folder}/log",
        "IMAGE": image,
        "ENDS_WITH": str(code),
        "SERVICE": service,
    }.items():
        patch.setenv(name, value)
    patch.setenv("PATH", str(folder), prepend=":")
    patch.setenv("MANYCORE_PYTHON", "3.99")  # as of a shell that had another stack
    return CliRunner().invoke(main, ["up", "-C", str(folder), *options])


def test_the_image_gets_the_python_that_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert up(tmp_path, monkeypatch).exit_code == 0
    assert (tmp_path / "log").read_text().splitlines()[-1] == f"{HERE}: compose up -d --wait --build"


def test_an_image_of_ones_own_is_not_built_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = up(tmp_path, monkeypatch, "--python", "3.12", image="mine")
    assert (tmp_path / "log").read_text().splitlines()[-1] == "3.12: compose up -d --wait"
    assert "mine is an image of your own, and not built here: build it with Python 3.12" in result.output


def test_a_failure_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = up(tmp_path, monkeypatch, code=7)
    assert result.exit_code == 1
    assert "`docker compose up` failed" in result.output


@pytest.mark.parametrize("options", [(), ("--no-build",)])
def test_another_projects_stack_is_left_alone(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = up(tmp_path, monkeypatch, *options, service="web")
    assert result.exit_code == 1
    assert "is another project's. Name the folder of ours with -C." in result.output
    assert "up -d" not in (tmp_path / "log").read_text()
