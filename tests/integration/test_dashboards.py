"""Every query of the dashboards is asked of a real Prometheus while real work runs: each has an answer with data."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from math import isnan
from typing import Any

import pytest

from manycore import Cluster
from tests.documents import ROOT
from tests.monitoring import Prometheus, exported, watching
from tests.waiting import wait_until

BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "ops/grafana/dashboards").glob("*.json"))}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = {"$__rate_interval": "10s", "$__range": "1m", "$task": ".*", "$fleet": ".*"}
QUERIES = [
    pytest.param(target["expr"], id=f"{name}-{panel['id']}{target['refId']}")
    for name, board in BOARDS.items()
    for panel in [*board["panels"], {"id": 0, "targets": [board["annotations"]["list"][0] | {"refId": "A"}]}]
    for target in panel["targets"]
]
CHOICES = [
    pytest.param(variable["query"]["query"], id=f"{name}-{variable['name']}")
    for name, board in BOARDS.items()
    for variable in board["templating"]["list"]
    if variable["type"] == "query"
]


def fail_now_and_then(number: int) -> None:
    time.sleep(0.02)
    if number % 5 == 0:
        raise ValueError(number)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It watches a cluster at work: items fail and run again, a fleet has no worker, junk was refused."""
    home = tmp_path_factory.mktemp("dashboards")
    with exported(home) as (server, start, exporter), watching(exporter, home) as prometheus:
        server.client().config_set("maxmemory", 2**30)
        start(slots=2)
        server.client().rpush("cpu", "junk")
        cluster = Cluster(server.url)
        batches = [
            cluster.batch(fail_now_and_then, range(100_000), retries=1, backoff=0.1),
            cluster.batch(abs, [1], fleet="gpu"),
        ]
        wait_until(lambda: "ManycoreNoWorker gpu" in prometheus.firing(), "an alert fires")
        yield prometheus
        for batch in batches:
            batch.cancel()
        cluster.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No worker of the fleet")
@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_an_answer(prometheus: Prometheus, query: str) -> None:
    for name, text in VARIABLES.items():
        query = query.replace(name, text)
    assert "$" not in query
    wait_until(lambda: values(prometheus.ask("query", query=query)), f"there is data for {query}")


@pytest.mark.slow
@pytest.mark.parametrize("query", CHOICES)
def test_a_variable_has_something_to_choose(prometheus: Prometheus, query: str) -> None:
    ((metric, label),) = re.findall(r"label_values\((\w+), (\w+)\)", query)
    wait_until(lambda: prometheus.ask(f"label/{label}/values", match=metric), f"there are values for {query}")


def test_every_metric_is_shown() -> None:
    told = re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    shown = " ".join(param.values[0] for param in QUERIES)  # type: ignore[misc]
    assert [metric for metric in told if metric not in shown] == []


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_board_is_whole(board: dict[str, Any]) -> None:
    """What cannot be seen without Grafana: places that do not overlap, one source for all, no id twice."""
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert all(source == SOURCE for source in (panel["datasource"], *(t["datasource"] for t in panel["targets"])))


def test_what_failed_is_red() -> None:
    for panel in (panel for board in BOARDS.values() for panel in board["panels"]):
        if any("manycore_items_failed_total" in target["expr"] for target in panel["targets"]):
            look = panel["fieldConfig"]["defaults"]
            assert {"color": "red", "value": 1} in look.get("thresholds", {}).get("steps", ()) or (
                look["color"]["fixedColor"] == "red"
            ), panel["title"]


def values(answer: dict[str, Any]) -> list[float]:
    """The numbers of an answer."""
    return [number for each in answer["result"] if not isnan(number := float(each["value"][1]))]
