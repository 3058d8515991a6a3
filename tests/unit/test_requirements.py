"""Packages are asked for by name and versions, in whatever spelling; nothing else gets through."""

from __future__ import annotations

from typing import Any

import pytest

from manycore.errors import SettingsError
from manycore.protocol.requirements import MAX_REQUIREMENTS, requirements_of, world_of


@pytest.mark.parametrize(
    "good",
    [
        "numpy",
        "numpy==2.*",
        "polars>=1.2,<2",
        "a-b_c.d",
        "pandas[excel,xml]~=2.0",
        "x===1.0+local",
        "x!=1.0a1",
        "x<=1!2",
    ],
)
def test_names_and_versions(good: str) -> None:
    assert requirements_of([good]) == (good,)
    assert requirements_of([f" {good} "]) == (good,)


@pytest.mark.parametrize(
    "bad",
    [
        *("", "-r", "--index-url=http://x", "-e.", "./here", "/tmp/x", "a/b", "a @ http://x", "http://x/a.whl"),
        *(
            "a;os_name=='nt'",
            "a==1 b==2,",
            "a==1;rm",
            "a$(id)",
            "a`id`",
            "a\x00",
            "é",
            "a==",
            "a=1",
            "[x]",
            5,
            None,
            b"a",
        ),
    ],
)
def test_anything_else_is_refused(bad: Any) -> None:
    with pytest.raises(SettingsError, match="is no requirement"):
        requirements_of([bad])


def test_a_text_and_too_many_are_refused() -> None:
    with pytest.raises(SettingsError, match="give a list"):
        requirements_of("numpy")
    with pytest.raises(SettingsError, match="more than"):
        requirements_of(f"p{number}" for number in range(MAX_REQUIREMENTS + 1))


def test_the_same_packages_are_one_world() -> None:
    assert requirements_of(["b", "a == 1", "b"]) == ("a==1", "b")
    assert world_of(None, ()) is None
    assert world_of("c" * 32, ()) == "c" * 32
    assert len({world_of(code, names) for code in (None, "c") for names in (("a",), ("b",))}) == 4
    assert len(world_of("c" * 32, ("a",)) or "") <= 64, "it keys a hash"
