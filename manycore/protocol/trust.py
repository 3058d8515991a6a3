"""TLS to a server whose certificate an authority of its own has signed: where that authority is named, what went wrong.

An address says `rediss://`; MANYCORE_CA_FILE says whom to believe, once for redis-py, kombu and Celery alike, by
becoming a part of the address. What OpenSSL says of a connection that fails is put into words here.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from manycore.errors import SettingsError

_REASONS = (
    ("certificate has expired", "its certificate has expired; on the server's machine, run the service `init` again"),
    ("certificate is not yet valid", "its certificate is not valid yet: compare the clocks of both machines"),
    ("ip address mismatch", "its certificate is for another address; add this one to MANYCORE_TLS_NAMES there"),
    ("hostname mismatch", "its certificate is for another name; add this one to MANYCORE_TLS_NAMES there"),
    (
        "certificate_verify_failed",
        "its certificate is not signed by the authority that is trusted here; set MANYCORE_CA_FILE to the stack's "
        "ca.crt, or join with a fresh token",
    ),
    ("wrong_version_number", "it does not speak TLS on this port; write redis:// for rediss://, or give the TLS port"),
    ("record layer failure", "it does not speak TLS on this port; write redis:// for rediss://, or give the TLS port"),
)
_CLOSED = ("connection closed by server", "connection reset by peer")


def with_authority(url: str, ca_file: Path | None) -> str:
    """The address with `ca_file` as the authority that it trusts, if it uses TLS and names none itself."""
    if ca_file is None or not url.lower().startswith("rediss://") or "ssl_ca_certs=" in url:
        return url
    if not ca_file.is_file():
        raise SettingsError(f"MANYCORE_CA_FILE names {ca_file}, which is not a file. `manycore env` writes one.")
    return f"{url}{'&' if '?' in url else '?'}ssl_ca_certs={quote(str(ca_file.resolve()))}"


def reason_of(exc: BaseException) -> str | None:
    """Why no connection with TLS came about, with the cure; None if it is not about TLS."""
    text = str(exc).lower()
    return next((words for sign, words in _REASONS if sign in text), None)


def hint(place: str, exc: BaseException) -> str:
    """What else it may be when one end speaks TLS and the other does not: neither can tell by itself."""
    text = str(exc).lower()
    if place.startswith("redis://") and any(sign in text for sign in _CLOSED):
        return "; if this is its TLS port, write rediss:// for redis://"
    if place.startswith("rediss://") and "timeout" in text:
        return "; if this is its port without TLS, write redis:// for rediss://"
    return ""
