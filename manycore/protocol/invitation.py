"""What one machine gives another so that it can join: address, credentials, signing key and authority, in one string.

    manycore-join-1.<base64url of zlib of JSON>.<checksum>

It is as secret as what is in it. The checksum is for what copying does to a long line; it proves nothing else.
"""

from __future__ import annotations

import binascii
import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass, field
from hashlib import blake2b

from manycore.errors import SettingsError

PREFIX = "manycore-join-"
VERSION = "1"
MAX_TOKEN = 32_768
FRESH = "Make a fresh one on the first machine: manycore join-token"


@dataclass(frozen=True, slots=True)
class Invitation:
    """`authority` is the certificate that the server's is signed by (PEM), empty for the machine's own ones."""

    url: str = field(repr=False)
    key: str = field(repr=False)
    authority: str = field(default="", repr=False)

    def token(self) -> str:
        """As one word."""
        body = urlsafe_b64encode(zlib.compress(json.dumps(asdict(self)).encode(), 9)).rstrip(b"=")
        return f"{PREFIX}{VERSION}.{body.decode()}.{_checksum(body)}"

    @classmethod
    def parse(cls, text: str) -> Invitation:
        """Read a token. Raises `SettingsError`, which shows no part of it."""
        token = "".join(text.split())  # a terminal may have broken the line
        if not token.startswith(PREFIX):
            raise SettingsError(f"This is no join token: it does not begin with {PREFIX!r}. {FRESH}.")
        version, _, rest = token.removeprefix(PREFIX).partition(".")
        if version != VERSION:
            raise SettingsError(
                f"This join token is of version {version[:8]!r}, this manycore reads {VERSION!r}. Install the same "
                f"manycore on both machines. {FRESH}."
            )
        body, _, checksum = rest.partition(".")
        if len(token) > MAX_TOKEN or _checksum(body.encode()) != checksum:
            raise SettingsError(f"This join token is cut off, or was changed on its way. Paste all of it. {FRESH}.")
        return cls._read(body)

    @classmethod
    def _read(cls, body: str) -> Invitation:
        try:
            packed = urlsafe_b64decode(body + "=" * (-len(body) % 4))
            found = json.loads(zlib.decompressobj().decompress(packed, 4 * MAX_TOKEN))
            return cls(str(found["url"]), str(found["key"]), str(found.get("authority", "")))
        except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SettingsError(f"This join token holds nothing that can be read. {FRESH}.") from exc


def _checksum(body: bytes) -> str:
    return blake2b(body, digest_size=6, person=b"manycore-join").hexdigest()
