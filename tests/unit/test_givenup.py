"""Outcomes of items that end together read as if each were there."""

from __future__ import annotations

import pytest

from manycore.client.givenup import NoValues, OneError
from manycore.client.passage import Arrival
from manycore.protocol.ledger import Part


def test_they_read_as_lists_and_dicts_of_the_same() -> None:
    error = KeyError()
    values, errors = NoValues(3), OneError(error, 3)
    assert (list(values), dict(errors)) == ([None] * 3, dict.fromkeys(range(3), error))
    assert (len(values), len(errors), values[2], list(values[1:])) == (3, 3, None, [None] * 2)
    assert (errors.get(3), -1 in errors, 2 in errors) == (None, False, True)
    with pytest.raises(KeyError):
        errors[3]
    with pytest.raises(IndexError):
        values[3]
    assert not NoValues(0)
    assert not OneError(error, 0)


def test_a_part_of_them_is_as_small() -> None:
    error, many = KeyError(), 10**15
    arrival = Arrival.of(Part(range(7, many), 2), NoValues(many), OneError(error, many))
    assert (arrival.start, arrival.stop, arrival.first_error) == (7, many, 0)
    assert (len(arrival.errors), arrival.errors[many - 8]) == (many - 7, error)
