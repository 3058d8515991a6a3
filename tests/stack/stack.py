"""The compose project under test: its own name, its own ports, and no trace of it at the end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from manycore.cli.env import client_environment
from tests.packages import wheel

ROOT = Path(__file__).parents[2]
IMAGE = "manycore:test"


class Stack:
    """Runs `docker compose` for one project; `settings` are its variables (MANYCORE_...)."""

    def __init__(self, project: str, folder: Path, **settings: str) -> None:
        self.project = project
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.runs.chmod(0o777)
        wheels = folder / "wheels"
        for version in ("1.0", "1.1"):
            wheel(wheels, "asked_for", version, f"VERSION = {version!r}\n")
        self._secrets = folder / "secrets"
        self._settings = {
            "COMPOSE_PROJECT_NAME": project,
            "COMPOSE_FILE": f"{ROOT / 'docker-compose.yml'}:{ROOT / 'tests/stack/override.yml'}",
            "MANYCORE_IMAGE": IMAGE,
            "MANYCORE_REDIS_PORT": str(free_port()),
            "MANYCORE_TLS_PORT": str(free_port()),
            "MANYCORE_FLOWER_PORT": str(free_port()),
            "MANYCORE_ALLOW_PACKAGES": "1",
            "TEST_RUNS": str(self.runs),
            "TEST_WHEELS": str(wheels),
            **settings,
        }
        self.seconds_to_healthy = 0.0

    def compose(self, *arguments: str, check: bool = True, **settings: str) -> str:
        """What `docker compose ...` prints; fails with what it says."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env=_clean_environment() | self._settings | settings,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0 or not check, f"compose {' '.join(arguments)}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def begin(self, python: str) -> None:
        """Build the image and start, as a user does."""
        self.compose("build", "--quiet", MANYCORE_PYTHON=python)
        started = monotonic()
        self.command("up", "--build", "--python", python)
        self.seconds_to_healthy = monotonic() - started

    def up(self) -> None:
        started = monotonic()
        self.compose("up", "-d", "--wait", "--wait-timeout", "120")
        self.seconds_to_healthy = monotonic() - started

    def logs(self) -> str:
        return docker("compose", "-p", self.project, "logs", "--no-color", check=False)

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)

    def client_environment(self) -> dict[str, str]:
        """What `manycore env` exports for this project."""
        previous = dict(os.environ)
        os.environ.update(self._settings)
        try:
            return client_environment(ROOT, self._secrets)
        finally:
            os.environ.clear()
            os.environ.update(previous)

    def command(self, *arguments: str) -> str:
        """What `manycore ...` prints where this stack runs."""
        command = [sys.executable, "-m", "manycore.cli", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=_clean_environment() | self._settings, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What `docker inspect` says of each container of a service."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        return list(json.loads(docker("inspect", *ids))) if ids else []

    def scale_cpu(self, count: int) -> None:
        self.compose("up", "-d", "--no-deps", "--no-recreate", "--scale", f"cpu={count}", "cpu")

    def runs_of(self, batch: str) -> dict[int, int]:
        """How often each item of a batch has run."""
        marks = self.runs.glob(f"{batch}-*")
        return {int(path.name.rpartition("-")[2]): len(path.read_text()) for path in marks}

    @property
    def flower(self) -> str:
        return f"http://127.0.0.1:{self._settings['MANYCORE_FLOWER_PORT']}"

    @property
    def flower_password(self) -> str:
        return self.compose("exec", "-T", "flower", "cat", "/secrets/flower/password").strip()


def docker(*arguments: str, check: bool = True) -> str:
    """What a docker command prints; with `check`, fails with what it says."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=280, env=_clean_environment(), check=False
    )
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _clean_environment() -> dict[str, str]:
    """A developer's own MANYCORE_... must not steer the tests; nor need he have BuildKit."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MANYCORE_", "COMPOSE_"))}
    return {"DOCKER_BUILDKIT": "0"} | kept
