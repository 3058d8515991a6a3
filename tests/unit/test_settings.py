"""`Settings` come from the environment, and a bad one is named."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from manycore.errors import SettingsError, SigningKeyMissing
from manycore.protocol.settings import NAMES, READERS, Settings, load_settings, redacted
from manycore.protocol.signing import Keyring

KEY, OTHER = "a-key-of-16-bytes-or-more", "another-key-of-16-bytes"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MANYCORE_")]:
        monkeypatch.delenv(name)


def test_every_setting_has_a_default() -> None:
    settings = load_settings()
    assert settings.url is None
    assert settings.allow_functions


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MANYCORE_URL", "redis://h:1/0", "url", "redis://h:1/0"),
        ("MANYCORE_TASKS", "a.b, c d", "tasks", ("a.b", "c", "d")),
        ("MANYCORE_TASKS", "", "tasks", ()),
        ("MANYCORE_ALLOW_FUNCTIONS", "0", "allow_functions", False),
        ("MANYCORE_ALLOW_FUNCTIONS", "TRUE", "allow_functions", True),
        ("MANYCORE_ALLOW_FUNCTIONS", "", "allow_functions", True),
        ("MANYCORE_LEASE_SECONDS", "2.5", "lease_seconds", 2.5),
        ("MANYCORE_LEASE_SECONDS", " 5 ", "lease_seconds", 5.0),
        ("MANYCORE_OBJECTS_BYTES", "2000000", "objects_bytes", 2_000_000),
        ("MANYCORE_LOGFORMAT", "json", "logformat", "json"),
        ("MANYCORE_MAX_ITEM_BYTES", "1000", "max_item_bytes", 1000),
        ("MANYCORE_KEY_FILE", "/some/where", "key_file", Path("/some/where")),
    ],
)
def test_a_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(load_settings(), field) == value


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_URL", "redis://environment")
    assert load_settings(url="redis://argument").url == "redis://argument"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MANYCORE_MAX_ITEM_BYTES", "many"),
        ("MANYCORE_MAX_ITEM_BYTES", "0"),
        ("MANYCORE_MAX_ITEM_BYTES", str(512 * 1024 * 1024)),
        ("MANYCORE_MAX_MESSAGE_BYTES", "1"),
        ("MANYCORE_BATCH_TTL_SECONDS", "59"),
        ("MANYCORE_CONNECTION_SECONDS", "0"),
        ("MANYCORE_ALLOW_FUNCTIONS", "perhaps"),
        ("MANYCORE_MAX_EXECUTIONS", "0"),
        ("MANYCORE_LEASE_SECONDS", "nan"),
        ("MANYCORE_LEASE_SECONDS", "inf"),
        ("MANYCORE_LEASE_SECONDS", "1.9"),
        ("MANYCORE_LOGFORMAT", "xml"),
    ],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=rf"These settings cannot work: {name}: \w+"):
        load_settings()


def test_every_setting_can_be_read() -> None:
    assert {str(each.type) for each in fields(Settings)} == set(READERS)


def test_all_bad_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_MAX_EXECUTIONS", "x")
    monkeypatch.setenv("MANYCORE_INLINE_BYTES", "-1")
    with pytest.raises(SettingsError, match=r"MANYCORE_INLINE_BYTES.*MANYCORE_MAX_EXECUTIONS"):
        load_settings()


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_KEY", f"{KEY},{OTHER}")
    assert load_settings().keyring().ids == Keyring([KEY.encode(), OTHER.encode()]).ids


def test_the_key_file_wins_over_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{OTHER}\n{KEY}\n")
    monkeypatch.setenv("MANYCORE_KEY", KEY)
    monkeypatch.setenv("MANYCORE_KEY_FILE", str(tmp_path / "key"))
    assert load_settings().keyring().ids == Keyring([OTHER.encode(), KEY.encode()]).ids


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff" * 32, "is not text")],
    ids=["missing", "blank", "binary"],
)
def test_an_unusable_key_file_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"The key file {path}.*{said}"):
        load_settings(key_file=path).keyring()


@pytest.mark.parametrize("key", [None, " "])
def test_without_a_key_the_next_step_is_told(key: str | None) -> None:
    with pytest.raises(SigningKeyMissing, match=r"no signing key for the cluster.*Set MANYCORE_KEY_FILE"):
        load_settings(key=key).keyring()


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_KEY", KEY)
    assert KEY not in repr(load_settings())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:secret@host/0", "redis://user:***@host/0"),
        ("redis://:secret@host", "redis://:***@host"),
        ("rediss://user:sec@ret:s@host", "rediss://user:***@host"),
        ("unix:///tmp/s.sock", "unix:///tmp/s.sock"),
        ("redis://host/0?username=u&password=secret&db=1", "redis://host/0?username=u&password=***&db=1"),
        ("the cluster", "the cluster"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MANYCORE_LEASE_SECOND", "MANYCORE_LEASE_SECONDS"),
        ("MANYCORE_KEYFILE", "MANYCORE_KEY_FILE"),
        ("MANYCORE_MAX_ITEMS_BYTES", "MANYCORE_MAX_ITEM_BYTES"),
    ],
)
def test_a_misspelt_setting_is_not_ignored(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"no setting {name}. Did you mean {meant}"):
        load_settings()


def test_variables_of_the_stack_are_no_misspelt_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    text = "".join((root / name).read_text() for name in (".env.example", "docker-compose.yml"))
    for name in set(re.findall("MANYCORE_[A-Z_]+[A-Z]", text)) - {f"MANYCORE_{f.upper()}" for f in NAMES}:
        monkeypatch.setenv(name, "1")
    load_settings()


def test_every_setting_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text().partition("## Every setting")[2]
    named = set(re.findall("`MANYCORE_([A-Z_]+)`", text.partition("\n## ")[0]))
    assert named == {name.upper() for name in NAMES}


def test_an_address_file_is_checked_as_an_address_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:pa#ss@host\n")
    monkeypatch.setenv("MANYCORE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match="percent-encoded"):
        load_settings()
