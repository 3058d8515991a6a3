"""The alert rules hold what `rules_test.yml` says, and each leads to a section that says what to do."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.documents import ROOT
from tests.required import program

FOLDER = ROOT / "ops/prometheus"
RULES = (FOLDER / "rules.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)


def promtool(*arguments: str) -> str:
    """What `promtool` says; fails with it."""
    command = [program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_holds() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "rules.yml")
    assert "is valid" in promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_when_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_both_ways(alert: str) -> None:
    tested = (FOLDER / "rules_test.yml").read_text()
    assert re.search(rf"alertname: {alert}, exp_alerts: \[\]", tested)
    assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", tested)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_leads_to_what_to_do(alert: str) -> None:
    rule = RULES.split(f"- alert: {alert}\n")[1].split("- alert:")[0]
    (page, anchor) = re.findall(r"runbook_url: (\S+)#(\S+)", rule)[0]
    assert anchor in anchors((ROOT / page).read_text())


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
