"""The Celery application that Flower watches through (`celery -A ops.flower.monitor flower`): it needs no signing key.

Events and remote control are JSON. Flower never takes a task, so it sweeps for lost messages under names of its own:
its user on the server may not write to the queues.
"""

from __future__ import annotations

from manycore.errors import SettingsError
from manycore.protocol.app import create_app
from manycore.protocol.settings import load_settings

_settings = load_settings()
if _settings.url is None:
    raise SettingsError("There is no server to watch. Set MANYCORE_URL_FILE or MANYCORE_URL to its address.")
app = create_app(_settings, "manycore.monitor")
if app.conf.broker_url.startswith("redis"):
    app.conf.broker_transport = None  # Flower's broker page takes the kind of server from it, and knows kombu's own
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "unacked_key": "flower-unacked",
    "unacked_index_key": "flower-unacked-index",
    "unacked_mutex_key": "flower-unacked-mutex",
}
