"""The Celery application of everybody who speaks Celery: workers, Flower, plain Celery clients.

A client of ours does not: it writes its messages itself (`envelope`), and so is spared the import of Celery.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.app.control import Control
from celery.loaders.app import AppLoader
from kombu import Exchange, Queue

from manycore.protocol import channel
from manycore.protocol.address import Address
from manycore.protocol.broker import QUEUES, SOCKET_SECONDS, SWEEP_SECONDS, UNACKED, UNACKED_INDEX, UNACKED_MUTEX
from manycore.protocol.settings import Settings
from manycore.protocol.signing import CONTENT_TYPE, RESULT_TYPE


class JsonControl(Control):
    """Remote control that keeps to JSON, while tasks accept manycore's signed messages only."""

    def __init__(self, app: Celery | None = None) -> None:
        super().__init__(app)
        self.mailbox.accept = ["json"]
        self.mailbox.serializer = "json"


class OurLoader(AppLoader):
    """Reads no configuration of the surroundings: neither CELERY_CONFIG_MODULE nor a celeryconfig.py is ours."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        return {}


class OurAMQP(AMQP):
    """Makes a queue that is named for the first time, a fleet's, like the others: reached by its name alone."""

    @staticmethod
    def autoexchange(_name: str) -> Exchange:
        return Exchange("")


class OurCelery(Celery):
    """A Celery application that talks to the server that it was given, whatever the environment says.

    Celery prefers CELERY_BROKER_URL, CELERY_RESULT_BACKEND, CELERY_LOADER and their like, which may be another
    project's, to its own configuration. Here each of them is told outright, so that there is nothing left to look up.
    """

    amqp_cls = OurAMQP
    settings: Settings

    def __init__(self, name: str, *, broker: str, backend: str = "disabled", **options: Any) -> None:
        self._address = broker
        self.backend_cls = backend  # wins, unlike the setting `result_backend`
        super().__init__(name, broker=broker, backend=backend, loader=OurLoader, fixups=[], **options)

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        return super().connection_for_read(url or self._address, **kwargs)

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        return super().connection_for_write(url or self._address, **kwargs)


def create_app(
    settings: Settings,
    name: str = "manycore",
    *,
    kind: type[OurCelery] = OurCelery,
    transport: str = channel.__name__,
    **options: Any,
) -> OurCelery:
    """A Celery application for `settings.url`, with the queues, the leases and the refusal of anything unsigned.

    `transport` is the module whose transports it uses.
    """
    address = Address.parse(settings.url or "")
    chosen = channel.transport_settings(address, transport)
    app = kind(name, broker=chosen["broker_url"], control=JsonControl, set_as_current=False, **options)
    app.settings = settings
    app.conf.update(chosen)
    app.conf.update(
        broker_use_ssl=dict(address.tls) if address.tls else False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": settings.lease_seconds,
            "unacked_key": UNACKED,
            "unacked_index_key": UNACKED_INDEX,
            "unacked_mutex_key": UNACKED_MUTEX,
            "unacked_restore_interval": SWEEP_SECONDS,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 5,
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
        },
        task_queues=[Queue(queue, routing_key=queue) for queue in QUEUES],
        task_default_queue=QUEUES[0],
        task_serializer="manycore",
        result_serializer="manycore-result",
        accept_content=[CONTENT_TYPE],
        result_accept_content=[RESULT_TYPE],
        result_expires=settings.batch_ttl_seconds,
    )
    return app
