"""The application that Flower watches through."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize("url", ["redis://user:secret@host:6379/0", "redis://host"])
def test_flower_can_tell_from_the_address_what_server_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_URL", url)
    monkeypatch.delitem(sys.modules, "ops.flower.monitor", raising=False)
    app = import_module("ops.flower.monitor").app
    monkeypatch.delitem(sys.modules, "ops.flower.monitor")
    # As its broker page does it.
    assert app.connection_for_read().as_uri(include_password=True).startswith(url.partition(":")[0] + "://")
