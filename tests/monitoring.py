"""The exporter as a process of its own, scraped as Prometheus does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

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
