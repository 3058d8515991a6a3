"""The exporter as a process of its own, scraped as Prometheus does, and a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.documents import ROOT
from tests.integration.conftest import Server, serving, workers_of
from tests.required import program
from tests.waiting import wait_until

RULES = ROOT / "ops/prometheus/rules.yml"
SCRAPE_SECONDS = 1
HURRIED_SECONDS = 2
Samples = dict[tuple[str, ...], float]


class Exporter:
    """A running exporter."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        (self.address,) = re.findall(r"http://\S+/metrics", process.stderr.readline())

    def text(self) -> str:
        """What it tells."""
        with urllib.request.urlopen(self.address, timeout=20) as page:
            found: str = page.read().decode()
        return found

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text()))

    def scrape(self) -> Samples:
        """Every sample: (name, label values...) -> value."""
        return {(s.name, *s.labels.values()): s.value for family in self.families() for s in family.samples}

    def shows(self, *sample: str, value: float) -> bool:
        return self.scrape().get(sample) == value


def probing(folder: Path, url: str, key: str) -> list[str]:
    """The options for a probe that has an address and a key of its own."""
    (folder / "url").write_text(url)
    (folder / "key").write_text(key)
    return ["--probe", "0.2", "--probe-secrets", str(folder)]


@contextmanager
def exporting(url: str, folder: Path, *options: str, **settings: str) -> Iterator[Exporter]:
    command = [sys.executable, "-m", "manycore.cli", "exporter", "--port", "0", *options]
    env = os.environ | {"MANYCORE_URL": url} | {f"MANYCORE_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield Exporter(process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def exported(home: Path) -> Iterator[tuple[Server, Callable[..., Any], Exporter]]:
    """A server, what starts workers on it, and its exporter, with a probe; clients find their key meanwhile."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(home) as server,
        workers_of(server, home) as start,
        exporting(server.as_user("exporter"), home, *probing(home, server.as_user("client"), server.key)) as exporter,
    ):
        patch.setenv("MANYCORE_KEY", server.key)
        yield server, start, exporter


class Prometheus:
    """A real one, on a port of its own, with the stack's configuration and rules, which do not wait for long."""

    def __init__(self, exporter: Exporter, folder: Path) -> None:
        self._log = folder / "prometheus.log"
        self.address = f"http://127.0.0.1:{_free_port()}"
        config = (RULES.parent / "prometheus.yml").read_text().replace(": 5s", f": {SCRAPE_SECONDS}s")
        target = exporter.address.removeprefix("http://").removesuffix("/metrics")
        (folder / "prometheus.yml").write_text(config.replace("metrics:9540", target))
        (folder / "rules.yml").write_text(hurried(RULES.read_text()))
        command = [
            program("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.address.removeprefix('http://')}",
        ]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._ready, "Prometheus is ready")

    def ask(self, path: str, **arguments: str) -> Any:
        """The data of an answer of its API; raises for an error of a query, with what it says."""
        query = urllib.parse.urlencode({name.replace("match", "match[]"): text for name, text in arguments.items()})
        try:
            with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{query}", timeout=20) as page:
                return json.load(page)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{arguments}: {exc.read().decode()}") from exc

    def firing(self) -> set[str]:
        """The alerts that fire, each with its fleet or queue if it has one: `ManycoreNoWorker gpu`."""
        labels = [alert["labels"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]
        return {f"{each['alertname']} {each.get('fleet', each.get('queue', ''))}".strip() for each in labels}

    def _ready(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            return False


def hurried(rules: str) -> str:
    """The same rules for a test: what must hold for minutes holds for seconds, nothing else is changed."""
    rules = re.sub(r"for: \w+", f"for: {HURRIED_SECONDS}s", rules)
    return re.sub(r"(_seconds\)?) > \d+", rf"\1 > {HURRIED_SECONDS}", rules)


@contextmanager
def watching(exporter: Exporter, folder: Path) -> Iterator[Prometheus]:
    prometheus = Prometheus(exporter, folder)
    try:
        yield prometheus
    finally:
        prometheus.process.kill()
        prometheus.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
