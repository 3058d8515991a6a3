"""Makes what TLS needs, and renews it before it ends: a stack's own authority, and its server's certificate.

    authority/ca.key                  signs the server's certificate, and is nobody's but `init`'s
    redis/server.crt, server.key      the server's
    redis, worker, client: ca.crt     whom to believe

A renewed certificate keeps its key and its authority: whoever trusts this stack goes on doing so. The authority signs
nothing but this one certificate; so whose it is says it all, under whatever name the server is reached.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ops.init.secrets import WeakSecret, write

NAMES = ("localhost", "redis", "127.0.0.1", "::1")
AUTHORITY_DAYS, SERVER_DAYS = 3_650, 397
RENEWED_BEFORE_END = 0.25
"""Renewed when less than this part of its life is left."""
BELIEVERS = ("redis", "worker", "client")
EARLIER = timedelta(hours=1)
"""Of clocks that are apart."""


def ensure_certificates(folder: Path, names: Sequence[str] = (), *, now: datetime | None = None) -> list[str]:
    """Make or renew what is missing, ends soon, or has other names; gives what was made. Raises `WeakSecret`."""
    now = now or datetime.now(UTC)
    wanted = _alternatives((*NAMES, *names))
    made: list[str] = []
    authority_key = _key(folder / "authority" / "ca.key", 0o600, made)
    server_key = _key(
        folder / "redis" / "server.key", 0o644, made
    )  # in a volume of its own; its reader is another user
    authority = _found(folder / "redis" / "ca.crt")
    if authority is None or _ends_soon(authority, now) or not _is_of(authority, authority_key):
        authority = _authority(authority_key, now)
        made.append("ca.crt")
    for service in BELIEVERS:
        _keep(folder / service / "ca.crt", authority)
    server = _found(folder / "redis" / "server.crt")
    if server is None or _ends_soon(server, now) or not _fits(server, server_key, authority, wanted):
        _keep(folder / "redis" / "server.crt", _server(server_key, authority_key, authority, wanted, now))
        made.append("redis/server.crt")
    return made


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "manycore: authority of one stack")])
    usage = _usage(key_cert_sign=True)
    return (
        _begun(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: x509.SubjectAlternativeName,
    now: datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "manycore: server")])
    return (
        _begun(name, authority.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative(name) for name in dict.fromkeys(names)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(name.encode("idna").decode())
    except (ValueError, UnicodeError) as exc:
        raise WeakSecret(f"MANYCORE_TLS_NAMES has {name!r}, which is neither a host name nor an address.") from exc


def _key(path: Path, mode: int, made: list[str]) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        try:
            found = serialization.load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError) as exc:
            raise WeakSecret(f"The key in {path} cannot be read. Delete it: a new one is made then.") from exc
        if isinstance(found, ec.EllipticCurvePrivateKey):
            return found
        raise WeakSecret(f"The key in {path} is of another kind. Delete it: a new one is made then.")
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    write(path, text, mode)
    made.append(f"{path.parent.name}/{path.name}")
    return key


def _found(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None  # a certificate is no secret: what cannot be read is made anew


def _keep(path: Path, certificate: x509.Certificate) -> None:
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    if not path.exists() or path.read_text() != text:
        write(path, text, 0o644)


def _ends_soon(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - life * RENEWED_BEFORE_END


def _is_of(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def _fits(
    server: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: x509.SubjectAlternativeName,
) -> bool:
    try:
        server.verify_directly_issued_by(authority)
        same = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names
    except Exception:  # InvalidSignature, ValueError, a missing extension: whatever it is, it is made anew
        return False
    return same and _is_of(server, key)
