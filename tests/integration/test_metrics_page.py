"""docs/metrics.md says what the exporter tells, and Prometheus' own lint finds nothing wrong with it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from manycore import Cluster
from manycore.metrics.collector import BUCKETS
from tests.documents import ROOT
from tests.functions import fail_on_seven
from tests.monitoring import Exporter, exported
from tests.required import program
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs/metrics.md").read_text()
TASK = "tests.functions.fail_on_seven"
LARGE = 1024 * 1024
JUNK = {
    b"junk": "malformed",
    b"{}": "unsigned",
    b'{"content-type": "application/x-python-serialize"}': "unsigned",
    b"[1]": "malformed",
}


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Of a cluster on which a batch has run, an item has failed, and messages were refused."""
    home = tmp_path_factory.mktemp("metrics")
    with exported(home) as (server, start, exporter):
        exporter.scrape()  # what was there before is no growth
        start()
        server.client().rpush("cpu", *JUNK)
        with Cluster(server.url) as cluster:
            cluster.batch(fail_on_seven, range(10)).gather(return_exceptions=True)
            large = cluster.put(bytes(LARGE))
            assert cluster.submit(len, large).result(timeout=30) == LARGE
        wait_until(lambda: exporter.shows("manycore_items_done_total", TASK, value=10), "it is counted")
        wait_until(lambda: exporter.shows("manycore_refused_messages_total", "cpu", value=len(JUNK)), "it is refused")
        yield exporter


def test_a_probe_tells_how_long_a_call_takes(exporter: Exporter) -> None:
    wait_until(lambda: 0 < exporter.scrape().get(("manycore_probe_seconds", "cpu"), 0.0) < 20, "a call was answered")


def test_promtool_finds_nothing_wrong(exporter: Exporter) -> None:
    promtool = program("promtool", "prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exporter.text(), capture_output=True, text=True, timeout=30
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_page_names_each_metric_with_its_labels(exporter: Exporter) -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    told = {
        f"{family.name}{'_total' if family.type == 'counter' else ''}": {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in exporter.families()
    }
    assert named == told


def test_the_quarantine_is_told_by_reason(exporter: Exporter) -> None:
    found = exporter.scrape()
    for reason in set(JUNK.values()):
        expected = sum(1 for why in JUNK.values() if why == reason)
        assert found["manycore_quarantine_entries", "refused", reason] == expected


def test_the_histogram_is_whole(exporter: Exporter) -> None:
    found = exporter.scrape()
    counts = [found["manycore_item_seconds_bucket", str(2.0**bucket), TASK] for bucket in BUCKETS]
    assert counts == sorted(counts)
    assert found["manycore_item_seconds_count", TASK] == found["manycore_item_seconds_bucket", "+Inf", TASK] == 10
    assert 0 < found["manycore_item_seconds_sum", TASK] < 60


def test_the_object_store_is_told(exporter: Exporter) -> None:
    wait_until(lambda: exporter.scrape()["manycore_object_store_bytes",] > LARGE, "its host tells")
    assert 0 < exporter.scrape()["manycore_object_store_fullest_ratio",] < 1
