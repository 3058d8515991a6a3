"""Flower with our pages as a process of its own, asked over HTTP."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from base64 import b64encode
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
OURS = {"X-Requested-With": "XMLHttpRequest"}
"""What our own pages send with a request that changes something."""


class Flower:
    """One process; `ask` knows the password."""

    def __init__(self, url: str, folder: Path, *, read_only: bool) -> None:
        self.folder = folder
        self.password = secrets.token_hex(8)
        (folder / "password").write_text(self.password)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")} | {
            "MANYCORE_URL": url,
            "MANYCORE_FLOWER_PASSWORD_FILE": str(folder / "password"),
            "MANYCORE_FLOWER_READ_ONLY": "1" if read_only else "0",
            "PYTHONPATH": str(ROOT),
        }
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "ops.flower.monitor", "flower"]
        options = [f"--port={self.port}", "--address=127.0.0.1", f"--db={self.folder / 'db'}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--conf={ROOT / 'ops/flower/flowerconfig.py'}", *options],
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def wait(self) -> Flower:
        wait_until(self._answers, f"Flower answers (see {self.folder / 'log'})", seconds=40)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.ask("/healthcheck")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None, *, known: bool = True
    ) -> tuple[int, str]:
        headers = headers or {}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        if known:
            token = b64encode(f"admin:{self.password}".encode()).decode()
            headers = {"Authorization": f"Basic {token}"} | headers
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def read(self, path: str) -> Any:
        status, text = self.ask(path)
        assert status == 200, text
        return json.loads(text)

    def batch(self, batch: str) -> dict[str, Any]:
        found: dict[str, Any] = self.read(f"/api/batches/{batch}")
        return found
