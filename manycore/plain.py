"""For plain Celery clients: an application whose messages our workers accept.

    from manycore.plain import celery_app
    app = celery_app()
    app.send_task("tasks.primes.count_primes", (0, 1000)).get()

Acks, revokes, routing, chains and `.get()` are Celery's own; manycore's batches and promises need `manycore.Cluster`.
"""

from __future__ import annotations

from celery import Celery

from manycore.errors import SettingsError
from manycore.protocol import serializer
from manycore.protocol.address import Address
from manycore.protocol.app import create_app
from manycore.protocol.settings import Settings, load_settings


def celery_app() -> Celery:
    """A Celery application for MANYCORE_URL that signs with MANYCORE_KEY_FILE (or MANYCORE_KEY).

    Raises `SettingsError` without an address, `SigningKeyMissing` without a key.
    """
    return app_of(load_settings())


def app_of(settings: Settings) -> Celery:
    """As `celery_app`, for settings at hand."""
    if settings.url is None:
        raise SettingsError("There is no cluster to call. Set MANYCORE_URL to the address of its server.")
    serializer.install(
        settings.keyring(), max_message_bytes=settings.max_message_bytes, max_result_bytes=settings.max_item_bytes
    )
    backend = Address.parse(settings.url).backend_by("manycore.protocol.backend:ResultBackend")
    return create_app(settings, "manycore.plain", backend=backend)
