"""Signs what leaves, and checks the signature of what arrives before anything else reads it.

A sealed message is `MAGIC | kind | key id | digest | header length | header | body`. The keyed BLAKE2b digest covers
the kind and everything after itself, so that one kind cannot pass for another. Sizes are checked first, then the
digest; only after that may a caller unpickle. It does not encrypt: whoever can read Redis can read the payloads.
"""

from __future__ import annotations

import hmac
import pickle
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, NamedTuple

from manycore.errors import MessageRefused, SettingsError
from manycore.protocol.pickling import reason_of

MAGIC = b"mc1"
CONTENT_TYPE, RESULT_TYPE = "application/x-manycore", "application/x-manycore-result"
MIN_KEY_BYTES = 16
_KEY_ID_BYTES = 4
_DIGEST_BYTES = 32
_PREFIX = Struct(f">3s1s{_KEY_ID_BYTES}s{_DIGEST_BYTES}sI")
_SIGNED_FROM = _PREFIX.size - 4

CHUNK, CALL, RESULT, OUTCOMES, FUNCTION, POISON, CODE, OBJECT = b"C", b"P", b"R", b"O", b"F", b"Q", b"A", b"B"
"""The kinds of message: a chunk, a plain Celery call, its result, outcomes, a shipped function, a quarantined item, an
archive of source, the list of the pieces of a large object."""


class Opened(NamedTuple):
    """What a verified message holds: its header (any plain object) and its body (not yet read by anything)."""

    header: Any
    body: memoryview


class Keyring:
    """The signing keys: the first signs, all of them verify, so that keys can be rotated."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise SettingsError("A keyring needs at least one key.")
        for key in keys:
            if len(key) < MIN_KEY_BYTES:
                raise SettingsError(
                    f"A signing key has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed. "
                    "Make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
                )
        # Digesting the key once lets a key of any length work: BLAKE2b itself takes at most 64 bytes.
        self._keys = {key_id(key): blake2b(key, digest_size=64).digest() for key in keys}
        self._signer = key_id(keys[0])

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Read keys separated by white space or commas, the signing one first."""
        return cls([word.encode() for word in text.replace(",", " ").split()])

    @property
    def ids(self) -> list[str]:
        """The public names of the keys, the signing one first; they tell nothing about the keys themselves."""
        return [identity.hex() for identity in self._keys]

    def seal(self, kind: bytes, header: Any, body: bytes | memoryview = b"") -> bytes:
        """Sign `header` (pickled here; plain types only) and `body` as one message of `kind`."""
        head = pickle.dumps(header, protocol=5)
        length = len(head).to_bytes(4, "big")
        digest = self._digest(self._signer, kind, length, head, body)
        return b"".join((MAGIC, kind, self._signer, digest, length, head, body))

    def open(self, kind: bytes, message: bytes, *, max_bytes: int | None = None) -> Opened:
        """Verify a sealed message and give back its header and body.

        Raises `MessageRefused` for another kind or version, a size above `max_bytes`, an unknown key, or a digest
        that does not hold. Nothing is unpickled before the digest has been checked.
        """
        if max_bytes is not None and len(message) > max_bytes:
            raise MessageRefused(f"it has {len(message):,} bytes, the limit is {max_bytes:,}")
        if len(message) < _PREFIX.size:
            raise MessageRefused("it is not one of manycore's messages")
        magic, found, identity, digest, length = _PREFIX.unpack_from(message)
        if magic != MAGIC or found != kind:
            raise MessageRefused(f"it is not one of manycore's messages of kind {kind!r} and version {MAGIC!r}")
        if identity not in self._keys:
            raise MessageRefused(f"it is signed with key {identity.hex()}, known here: {', '.join(self.ids)}")
        signed = memoryview(message)[_SIGNED_FROM:]
        if not hmac.compare_digest(digest, self._digest(identity, kind, signed)):
            raise MessageRefused("its signature does not hold: it was changed after it was signed")
        if length > len(signed) - 4:
            raise MessageRefused("its header is longer than the message")
        try:
            header = pickle.loads(signed[4 : 4 + length])
        except Exception as exc:  # it holds what is not here, as a number of NumPy's
            raise MessageRefused(f"its header cannot be read here: {reason_of(exc)}") from exc
        return Opened(header, signed[4 + length :])

    def _digest(self, identity: bytes, kind: bytes, *parts: bytes | memoryview) -> bytes:
        state = blake2b(key=self._keys[identity], digest_size=_DIGEST_BYTES, person=b"manycore-" + kind)
        for part in parts:
            state.update(part)
        return state.digest()


def key_id(key: bytes) -> bytes:
    """The public name of a key: enough to tell two keys apart, useless for finding either."""
    return blake2b(key, digest_size=_KEY_ID_BYTES, person=b"manycore-key-id").digest()


def generate_key() -> str:
    """A new random signing key, as text."""
    return secrets.token_hex(32)


def content_digest(body: bytes | memoryview) -> bytes:
    """The digest by which a signed message vouches for a body that travels beside it."""
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


def is_sealed(kind: bytes, message: bytes) -> bool:
    """Whether `message` claims to be of `kind`; says nothing about its signature."""
    return message[:4] == MAGIC + kind
