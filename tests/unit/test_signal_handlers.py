"""A signal's handler runs below what it comes between: what is held there, nobody lets go of while it waits."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from manycore.client import locks, waiting
from manycore.client.code import Code, CodeShipper
from manycore.client.waiting import SourceClosed, SubmitSource
from manycore.protocol.signing import Keyring, generate_key
from tests.interrupts import Striker
from tests.lanes import Shipping

PATIENCE = 20


def ends(step: Any) -> bool:
    """Whether a step ends, on a thread of its own."""
    stepping = threading.Thread(target=step, daemon=True)
    stepping.start()
    stepping.join(PATIENCE)
    return not stepping.is_alive()


def test_one_that_submits_or_closes_at_any_moment_of_a_submit_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_checking", False)
    for at in count():
        source = SubmitSource(Shipping())

        class Handled(Striker):
            def strike(self) -> None:
                source.add(abs, (2,), {})  # noqa: B023
                source.close()  # noqa: B023

        striker = Handled(at, KeyboardInterrupt, [waiting.__file__])

        def step() -> None:
            with suppress(SourceClosed), striker.tracing():  # noqa: B023
                source.add(abs, (1,), {})  # noqa: B023

        assert ends(step), f"the handler waits at moment {at}"
        if not striker.has_struck:
            break
    assert at > 1


def test_one_that_closes_while_the_code_is_looked_at_waits_for_nobody() -> None:
    shipper = CodeShipper(Keyring.parse(generate_key()), Code())
    with shipper._lock:
        assert ends(shipper.close)
