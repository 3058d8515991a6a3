"""`ops.init.secrets`: random, private, kept; what everybody knows is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from manycore.protocol.signing import generate_key
from ops.init.secrets import PAGES, SIGNERS, USERS, WeakSecret, ensure

TEMPLATE = "".join(f"user {user} #{{{user}}}\n" for user in USERS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for service in {*USERS, *PAGES, "redis"}:
        (tmp_path / service).mkdir()
    return tmp_path


def test_the_server_gets_hashes_of_what_the_users_have(folder: Path) -> None:
    ensure(folder, TEMPLATE)
    users = (folder / "redis/users.acl").read_text()
    for user in USERS:
        password = (folder / user / "url").read_text().partition(f"://{user}:")[2].partition("@")[0]
        assert len(password) > 40
        assert f"user {user} #{hashlib.sha256(password.encode()).hexdigest()}\n" in users
        assert password not in users


def test_client_and_worker_share_a_key_that_nobody_else_has(folder: Path) -> None:
    ensure(folder, TEMPLATE)
    assert (folder / "client/key").read_text() == (folder / "worker/key").read_text()
    assert {path.parent.name for path in folder.rglob("key")} == {"client", "worker"}


def test_secrets_are_for_their_owner_alone(folder: Path) -> None:
    ensure(folder, TEMPLATE)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {"url": 0o600, "key": 0o600, "password": 0o600, "users.acl": 0o644}


def test_a_second_start_makes_nothing_and_changes_nothing(folder: Path) -> None:
    assert len(ensure(folder, TEMPLATE)) == 8
    before = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert ensure(folder, TEMPLATE) == []
    assert {path: path.read_text() for path in folder.rglob("*") if path.is_file()} == before


def test_two_stacks_share_no_secret(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for service in {*USERS, *PAGES, "redis"}:
        (other / service).mkdir()
    ensure(folder, TEMPLATE)
    ensure(other, TEMPLATE)
    assert (folder / "worker/key").read_text() != (other / "worker/key").read_text()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("worker/key", "", "is empty"),
        ("worker/key", "changeme", "everybody would try first"),
        ("worker/key", "0" * 64, "everybody would try first"),
        ("client/key", "", "is empty"),
        ("client/key", "changeme", "everybody would try first"),
        ("flower/password", "sh0rt-pa55", "has only 10 characters"),
        ("grafana/password", "admin", "everybody would try first"),
        ("client/url", "redis://client:@redis:6379/0", "is empty"),
        ("client/url", "redis://redis:6379/0", "is empty"),
        ("worker/url", "redis://worker:password@redis:6379/0", "everybody would try first"),
    ],
)
def test_a_secret_that_cannot_be_trusted_stops_it(folder: Path, name: str, text: str, says: str) -> None:
    ensure(folder, TEMPLATE)
    (folder / name).write_text(text)
    with pytest.raises(WeakSecret, match=says) as caught:
        ensure(folder, TEMPLATE)
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_key_that_was_deleted_is_made_from_the_other(folder: Path, signer: str) -> None:
    ensure(folder, TEMPLATE)
    path = folder / signer / "key"
    before = path.read_text()
    path.unlink()
    assert ensure(folder, TEMPLATE) == [f"{signer}/key"]
    assert path.read_text() == before


def test_keys_that_are_being_rotated_are_left_alone(folder: Path) -> None:
    old, new = generate_key(), generate_key()
    (folder / "worker/key").write_text(f"{old}\n{new}\n")
    (folder / "client/key").write_text(old)
    ensure(folder, TEMPLATE)
    assert (folder / "worker/key").read_text() == f"{old}\n{new}\n"
    assert (folder / "client/key").read_text() == old


def test_keys_that_have_none_in_common_stop_it(folder: Path) -> None:
    for signer in SIGNERS:
        (folder / signer / "key").write_text(generate_key())
    with pytest.raises(WeakSecret, match="none in common") as caught:
        ensure(folder, TEMPLATE)
    assert all(str(folder / signer / "key") in str(caught.value) for signer in SIGNERS)
