"""The page of growth: its tables and its bars, made of figures that are given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.growth import page
from benchmarks.growth.__main__ import main
from benchmarks.growth.roster import BARS, STUDIES
from benchmarks.growth.study import Figure, Study

ROOT = Path(__file__).parents[2]
MACHINE = {"CPU": "A CPU", "cores": "2 granted of 2", "OS": "Linux", "Python": "CPython 3"}


def made(value: float) -> page.Found:
    """Every point of every study has this value."""
    return {name: {x: {f.name: value for f in study.figures} for x in study.values} for name, study in STUDIES.items()}


def test_the_page_has_a_section_a_study_and_names_the_machine() -> None:
    text = page.markdown(made(1.0), MACHINE, "2026-01-02T03:04:05+00:00")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [name.capitalize() for name in STUDIES]
    assert "A CPU, 2 granted of 2" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1


def test_a_study_without_a_point_has_no_section() -> None:
    assert "## " not in page.markdown({"slots": {}}, MACHINE, "2026-01-02")


def test_bars_are_of_figures_that_there_are_and_what_is_below_is_said() -> None:
    for name, (figure, value, _) in BARS.items():
        assert value in STUDIES[name].values
        assert figure in {known.name for known in STUDIES[name].figures}
    assert page.missed(made(0.95)) == []
    assert page.missed(made(0.94)) == ["slots: efficiency at 128 is 0.940, should be 0.95"]
    assert page.missed({"slots": {2: {"efficiency": 0.1}}}) == []


def test_a_panel_has_its_points_in_order() -> None:
    study = Study("s", "", "x", (), (), lambda: {}, (Figure("cost", "Cost", "s"),))
    (panel,) = study.panels({10: {"cost": 2.0}, 1: {"cost": 1.0}})
    assert (panel.lines[0].x, panel.lines[0].y) == ([1.0, 10.0], [1.0, 2.0])


def test_the_page_that_is_there_is_of_a_named_machine_and_has_its_picture() -> None:
    text = (ROOT / "docs" / "growth.md").read_text()
    assert re.search(r"Measured \d{4}-\d\d-\d\d on .+ granted of \d+", text)
    assert set(re.findall(r"^## (\w+)$", text, re.MULTILINE)) <= {name.capitalize() for name in STUDIES}
    assert (ROOT / "docs" / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("part", [["--only", "slots"], ["--small"]])
def test_a_part_of_the_studies_never_takes_the_place_of_the_page(part: list[str], tmp_path: Path) -> None:
    (page_path := tmp_path / "growth.md").write_text("the whole")
    written = CliRunner().invoke(main, [*part, "--write", str(page_path)])
    assert (written.exit_code, page_path.read_text()) == (2, "the whole")
    assert "which --write replaces" in written.output
