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
from manycore.errors import SettingsError, VersionMismatch
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
    assert objects.shared(bytes(2 * SHARED_BYTES), "The argument", None) is None, "that travels as everything else"


def test_to_another_python_what_is_put_or_shared_goes_as_source(tmp_path: Path) -> None:
    home = Home.make("test", tmp_path)
    objects = Objects(home, redis.Redis(), Keyring.parse(generate_key()), Settings(), "here")
    large, there = bytes(2 * SHARED_BYTES), dict[str, Any]()
    held = [large, lambda: "it has a source"]
    refs = objects.put(held, (3, 99)), objects.shared(held, "The argument", (3, 99))
    written = [bytes(home.mapped(ref.name, ref.size, private=False)) for ref in refs if ref is not None]
    assert [b'lambda: "it has a source"' in content for content in written] == [True, True]
    exec("def made(): pass", there)
    assert objects.shared([large, there["made"]], "The argument", (3, 99)) is None, "who sends it says why"
    with pytest.raises(VersionMismatch, match=r"made \(its source is in no file\)"):
        objects.put([large, there["made"]], (3, 99))
    objects.close()
