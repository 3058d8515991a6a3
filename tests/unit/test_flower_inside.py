"""What is private in Flower and relied on (`ops/flower/inside.py`): held here, so a new version is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.flower import inside
from ops.flower.loader import CHANGES, OURS, TABS, Templates

ROOT = Path(__file__).parents[2]


def test_no_other_file_knows_the_inside_of_flower() -> None:
    importing = re.compile(r"^\s*(from|import) flower\b", re.MULTILINE)
    knowing = {path.name for path in (ROOT / "ops").rglob("*.py") if importing.search(path.read_text())}
    assert knowing == {"inside.py"}


def test_its_handlers_are_ours_to_extend() -> None:
    assert isinstance(inside.HANDLERS, list)
    assert callable(inside.BaseHandler.get_active_queue_names)
    assert {"prepare", "write_error", "check_xsrf_cookie", "get_current_user"} <= set(dir(inside.BaseApiHandler))
    for module, name in inside.OPEN:
        assert callable(getattr(module, name).get)


@pytest.mark.parametrize("name", CHANGES)
def test_its_templates_can_be_changed_where_we_do(name: str) -> None:
    text = (inside.TEMPLATES / name).read_text()
    changed = CHANGES[name](text)
    assert len(changed) > len(text)
    assert changed.startswith(text[: text.index("<nav" if name == "navbar.html" else "{% block container")])


def test_our_tabs_stand_beside_its_own() -> None:
    navbar = CHANGES["navbar.html"]((inside.TEMPLATES / "navbar.html").read_text())
    first = navbar[: navbar.index("</ul>")]
    titles = re.findall(r">(\w+)</a>", first)
    assert titles == ["Workers", "Tasks", "Broker", *TABS.values()]


@pytest.mark.parametrize("name", sorted({path.name for path in OURS.glob("*.html")} | set(CHANGES)))
def test_every_page_can_be_compiled(name: str) -> None:
    assert Templates().load(name).code


def test_its_base_page_has_the_blocks_that_ours_fill() -> None:
    base = (inside.TEMPLATES / "base.html").read_text()
    for block in ("title", "navbar", "container", "extra_scripts"):
        assert f"{{% block {block} %}}" in base
