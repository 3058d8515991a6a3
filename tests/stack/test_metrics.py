"""The profile `metrics` beside the stack. Prometheus is Debian's, in an image made here: no registry is needed.

Debian has no Grafana: what it would ask Prometheus is asked in tests/integration/test_dashboards.py.
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from tests.documents import ROOT
from tests.stack.stack import Stack, docker, free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)
IMAGE = "manycore-prometheus:test"
DOCKERFILE = """
FROM python:3.13-slim-trixie
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null \\
 && rm -rf /var/lib/apt/lists/* \\
 && install -d -o nobody -g nogroup /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
"""


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the profile's Prometheus, which is healthy."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    docker("build", "--quiet", "--tag", IMAGE, str(folder))
    port = free_port()
    up = ("--profile", "metrics", "up", "-d", "--wait", "--wait-timeout", "120", "prometheus")
    stack.compose(*up, MANYCORE_PROMETHEUS_IMAGE=IMAGE, MANYCORE_PROMETHEUS_PORT=str(port))
    yield f"http://127.0.0.1:{port}"
    stack.compose("--profile", "metrics", "rm", "--stop", "--force", "metrics", "prometheus")


def ask(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}/api/v1/{path}", timeout=20) as page:
        return json.load(page)["data"]


def test_prometheus_scrapes_the_exporter_and_has_the_rules(prometheus: str, connected: Cluster) -> None:
    assert connected.batch(abs, range(10)).gather() == list(range(10))
    wait_until(lambda: value(prometheus, 'manycore_items_done_total{task="builtins.abs"}') >= 10, "it is counted")
    assert value(prometheus, "manycore_redis_memory_limit_bytes") == 512 * 2**20
    rules = (ROOT / "ops/prometheus/rules.yml").read_text()
    assert len(ask(prometheus, "rules")["groups"][0]["rules"]) == rules.count("- alert:")
    assert ask(prometheus, "alerts")["alerts"] == []


def value(address: str, query: str) -> float:
    found = ask(address, f"query?query={urllib.parse.quote(query)}")["result"]
    return float(found[0]["value"][1]) if found else 0.0


def test_without_the_profile_none_of_it_is_there(stack: Stack) -> None:
    plain = set(stack.compose("config", "--services").split())
    assert set(stack.compose("--profile", "metrics", "config", "--services").split()) - plain == {
        "metrics",
        "prometheus",
        "grafana",
    }


def test_grafana_finds_what_is_provisioned(stack: Stack) -> None:
    """Each file that it is told to read is mounted where it is told to look, and its password is made."""
    services = json.loads(stack.compose("--profile", "metrics", "config", "--format", "json"))["services"]
    grafana = services["grafana"]
    mounts = {volume["target"]: volume["source"] for volume in grafana["volumes"]}
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (Path(mounts[str(home.parent)]) / home.name).exists()
    provider = (Path(mounts["/etc/grafana/provisioning"]) / "dashboards/manycore.yml").read_text()
    assert f"path: {home.parent}" in provider
    assert grafana["user"].partition(":")[0] == services["init"]["user"].partition(":")[0]  # it may read the password
    made = stack.compose("run", "--rm", "--no-deps", "--entrypoint", "ls", "init", "/secrets/grafana")
    assert made.split() == ["password"]
