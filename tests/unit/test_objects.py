"""What a client's objects do when several threads use them; with workers they are in `integration/test_objects`."""

from __future__ import annotations

import shutil
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import redis

from manycore.client.objects import Objects
from manycore.client.worth import SHARED_BYTES
from manycore.errors import SettingsError
from manycore.protocol.home import Home
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring, generate_key


class TakenByAnother(deque[str]):
    """Another thread tidies up as well, and takes the second of what there is."""

    def popleft(self) -> str:
        found = super().popleft()
        self.clear()
        return found


def test_two_threads_tidy_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.make("test", tmp_path)
    objects = Objects(home, redis.Redis(), Keyring.parse(generate_key()), Settings(), "here")
    kept: Any = objects.put(b"kept")
    released = TakenByAnother([objects.put(b"freed").name, "freed by the other"])
    monkeypatch.setattr(objects, "_released", released)
    objects.tidy()
    assert home.has(kept.name)
    assert home.used_bytes() == kept.size
    objects.close()


def test_who_puts_where_the_place_was_taken_away_is_told_so(tmp_path: Path) -> None:
    home = Home.make("test", tmp_path)
    objects = Objects(home, redis.Redis(), Keyring.parse(generate_key()), Settings(), "here")
    shutil.rmtree(home.path)
    with pytest.raises(SettingsError, match="MANYCORE_OBJECTS_FOLDER"):
        objects.put(b"kept")
    assert objects.shared(bytes(2 * SHARED_BYTES), "The argument") is None, "that travels as everything else"
