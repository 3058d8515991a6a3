"""All studies, in the order of the page."""

from __future__ import annotations

from benchmarks.growth import beside, clients, history, items, slots, values
from benchmarks.growth.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for study in (items.STUDY, slots.STUDY, values.STUDY, clients.STUDY, beside.STUDY, history.STUDY)
}
BARS = {"slots": ("efficiency", 128, 0.95)}
"""By study: which figure has to reach how much at which value."""
