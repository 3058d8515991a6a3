"""What `init` makes for TLS is kept, renewed in time, and never changes whom others believe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ops.init.certificates import AUTHORITY_DAYS, NAMES, SERVER_DAYS, ensure_certificates
from ops.init.secrets import WeakSecret

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for service in ("authority", "redis", "worker", "client"):
        (tmp_path / service).mkdir()
    return tmp_path


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def server(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "redis/server.crt").read_bytes())


def authority(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "client/ca.crt").read_bytes())


def test_a_second_start_changes_nothing(folder: Path) -> None:
    assert len(ensure_certificates(folder, now=NOW)) == 4
    before = texts(folder)
    assert ensure_certificates(folder, now=NOW + timedelta(days=200)) == []
    assert texts(folder) == before


def test_the_authoritys_key_is_where_only_init_is(folder: Path) -> None:
    ensure_certificates(folder)
    assert {path.parent.name for path in folder.rglob("*.key")} == {"authority", "redis"}
    assert (folder / "authority/ca.key").stat().st_mode & 0o777 == 0o600
    assert len({(folder / service / "ca.crt").read_text() for service in ("redis", "worker", "client")}) == 1


@pytest.mark.parametrize("days", [300, SERVER_DAYS + 100])
def test_a_certificate_is_renewed_before_it_ends_and_after(folder: Path, days: int) -> None:
    ensure_certificates(folder, now=NOW)
    before = texts(folder)
    later = NOW + timedelta(days=days)
    assert ensure_certificates(folder, now=later) == ["redis/server.crt"]
    assert {name for name, text in texts(folder).items() if before[name] != text} == {"redis/server.crt"}
    assert server(folder).not_valid_after_utc > later + timedelta(days=SERVER_DAYS - 1)


def test_a_renewed_authority_is_believed_by_those_who_have_the_old_one(folder: Path) -> None:
    ensure_certificates(folder, now=NOW)
    old = authority(folder)
    ensure_certificates(folder, now=NOW + timedelta(days=AUTHORITY_DAYS * 0.9))
    assert authority(folder) != old
    server(folder).verify_directly_issued_by(old)
    server(folder).verify_directly_issued_by(authority(folder))


def test_names_and_addresses_are_added(folder: Path) -> None:
    ensure_certificates(folder)
    assert ensure_certificates(folder, ["compute.example.org", "192.0.2.7", "[2001:db8::1]", "zürich.example"]) == [
        "redis/server.crt"
    ]
    found = server(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = found.get_values_for_type(x509.DNSName) + [str(a) for a in found.get_values_for_type(x509.IPAddress)]
    assert set(names) == {*NAMES, "compute.example.org", "192.0.2.7", "2001:db8::1", "xn--zrich-kva.example"}
    with pytest.raises(WeakSecret, match="neither a host name nor an address"):
        ensure_certificates(folder, ["a" * 70])


@pytest.mark.parametrize("text", ["", "junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_be_read_is_named(folder: Path, text: str) -> None:
    (folder / "authority/ca.key").write_text(text)
    with pytest.raises(WeakSecret, match=r"authority/ca\.key cannot be read"):
        ensure_certificates(folder)


def test_a_certificate_that_cannot_be_read_or_is_anothers_is_made_anew(folder: Path) -> None:
    ensure_certificates(folder)
    key = (folder / "redis/server.key").read_text()
    (folder / "redis/server.crt").write_text("junk")
    (folder / "worker/ca.crt").unlink()
    assert ensure_certificates(folder) == ["redis/server.crt"]
    (folder / "redis/server.crt").write_text((folder / "redis/ca.crt").read_text())
    assert ensure_certificates(folder) == ["redis/server.crt"]
    assert (folder / "redis/server.key").read_text() == key
