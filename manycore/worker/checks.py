"""What must hold before a worker takes its first message; each failure says what to do.

A worker that starts with a wrong setting would fail later, on somebody's batch: it ends instead, and restarts until
the cause is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import redis

from manycore import __version__
from manycore.errors import SettingsError
from manycore.protocol.broker import SWEEP_SECONDS, check_server_kind, connect, no_connection, typed_errors
from manycore.protocol.keys import HEARTBEAT_SECONDS
from manycore.protocol.python import here, shown
from manycore.protocol.roster import live_workers
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
MIN_LEASE_SECONDS = 2 * max(SWEEP_SECONDS, HEARTBEAT_SECONDS)
MAX_LEASE_SECONDS = 3_600.0
"""Beyond an hour, the work of a dead worker would wait that long: surely a mistake of units."""
WELL_KNOWN = frozenset({"changeme", "secret", "password", "manycore", "insecure", "example"})


def check_settings(settings: Settings) -> None:
    """Refuse settings that cannot work. Raises `SettingsError`, or `SigningKeyMissing` without a key."""
    if settings.url is None:
        raise SettingsError("There is no server to work for. Set MANYCORE_URL_FILE or MANYCORE_URL to its address.")
    settings.keyring()
    if settings.key_file is not None and is_well_known(settings.key_file.read_text()):
        raise SettingsError(f"The key in {settings.key_file} is one that everybody knows. Delete it and run `init`.")
    if not MIN_LEASE_SECONDS <= settings.lease_seconds <= MAX_LEASE_SECONDS:
        raise SettingsError(
            f"MANYCORE_LEASE_SECONDS={settings.lease_seconds:g}: a lease is renewed every few seconds, so it must last "
            f"{MIN_LEASE_SECONDS:g} s or more; and the work of a dead worker waits for its end, so not above "
            f"{MAX_LEASE_SECONDS:g} s. 30 suits most."
        )


def check_server(settings: Settings) -> None:
    """Refuse a server that does not answer, or that may drop work.

    Raises `ConnectionFailed`, `AuthenticationFailed` or `SettingsError`.
    """
    address = redacted(settings.url or "")
    client = connect(settings)
    try:
        with typed_errors(settings):
            client.ping()
            check_server_kind(client, settings)
            memory: dict[str, Any] = client.info("memory")
            persistence: dict[str, Any] = client.info("persistence")
    except redis.exceptions.NoPermissionError:
        logger.warning("This user may not run INFO at %s: its eviction policy could not be checked", address)
        return
    except redis.RedisError as exc:
        raise no_connection(address, exc) from exc
    finally:
        client.close()
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise SettingsError(
            f"The server at {address} drops keys when its memory is full (maxmemory-policy {policy}): work would be "
            f"lost in silence. Set `maxmemory-policy noeviction`; a full server then refuses new work instead."
        )
    if not persistence.get("aof_enabled"):
        logger.warning("The server at %s has no append-only file: a restart of it loses what is queued", address)


def check_company(settings: Settings) -> None:
    """Warn of a Python, a manycore or keys other than those of the workers which are there.

    Raises as `typed_errors` does.
    """
    client = connect(settings)
    try:
        with typed_errors(settings):
            others = live_workers(client)
    finally:
        client.close()
    pythons = sorted({worker.python for worker in others} - {here()})
    versions = sorted({worker.version for worker in others} - {__version__})
    if pythons:
        logger.warning(
            "This worker has %s, others %s: what clients send by value and has no source runs on one of them alone, "
            "and ends in VersionMismatch. Start it with the same Python",
            shown(here()),
            ", ".join(map(shown, pythons)),
        )
    if versions:
        logger.warning(
            "This worker has manycore %s, others %s: what one of them sends, the other may refuse. Install the same, "
            "from a copy of the same repository",
            __version__,
            ", ".join(versions),
        )
    ours = settings.keyring().ids
    strange = {key for worker in others if _apart(ours, worker.keys) for key in worker.keys}
    if strange:
        logger.warning(
            "This worker has the signing key %s, others %s: what one signs, the other refuses, and clients of either "
            "send nothing while both are there (SigningKeyUnknown). Give all of them the same MANYCORE_KEY_FILE",
            ", ".join(ours),
            ", ".join(sorted(strange)),
        )


def _apart(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether one of two workers signs, with its first key, what the other does not accept."""
    return bool(ours and theirs) and (ours[0] not in theirs or theirs[0] not in ours)


def is_well_known(secret: str) -> bool:
    """Whether a secret is empty, or one that everybody would try first."""
    text = secret.strip().lower()
    return not text or text in WELL_KNOWN or len(set(text)) < 4
