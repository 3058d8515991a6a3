"""What callers pass is taken as Python's own, whatever mapping or number it is."""

from __future__ import annotations

from configparser import ConfigParser
from typing import Any

import numpy as np
import pytest

from manycore.client.checks import check_count, check_options, check_workers
from manycore.errors import SettingsError


@pytest.mark.parametrize("number", [3, np.int64(3), np.uint8(3)], ids=lambda number: type(number).__name__)
def test_a_number_of_numpys_is_a_number(number: Any) -> None:
    for taken in (check_count("chunksize", number), check_workers(number), check_options(None, number, None)[1]):
        assert (taken, type(taken)) == (3, int)


@pytest.mark.parametrize("count", [1.0, "1", np.float64(1)], ids=lambda count: type(count).__name__)
def test_a_count_is_whole(count: Any) -> None:
    with pytest.raises(TypeError, match="must be an integer or None"):
        check_count("chunksize", count)


def test_keyword_arguments_may_be_any_mapping() -> None:
    """Workers have no such class, or another one's parser would travel along."""
    parser = ConfigParser()
    parser.read_string("[model]\nsize = 3\n")
    section: Any = parser["model"]
    kwargs = check_options(None, 0, None, section)[3]
    assert (kwargs, type(kwargs)) == ({"size": "3"}, dict)


def test_keyword_arguments_are_those_of_the_call() -> None:
    given = {"a": 1}
    taken = check_options(None, 0, None, given)[3]
    given["a"] = 2
    assert taken == {"a": 1}


def test_their_names_are_texts() -> None:
    unnamed: Any = {1: 2}
    with pytest.raises(SettingsError, match="keyword arguments by name"):
        check_options(None, 0, None, unnamed)
