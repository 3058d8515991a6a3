"""Flower's options (its option file is Python): each name here is one of Flower's.

Our own pages go beyond its options (`extension`).
"""

from __future__ import annotations

import os

from manycore.protocol.broker import BRIEF_SECONDS, connect
from manycore.protocol.settings import load_settings
from ops.flower import access, display, extension, inside, monitor
from ops.flower.board import Board
from ops.flower.desk import Desk
from ops.flower.queues import Queues

address = "0.0.0.0"  # of the container; the host publishes it on loopback alone
port = 5555
basic_auth = [access.credentials()]
read_only = os.environ.get("MANYCORE_FLOWER_READ_ONLY") != "0"
persistent = True
db = "/data/flower"
state_save_interval = 60_000  # milliseconds
max_tasks = int(os.environ.get("MANYCORE_FLOWER_TASKS") or 10_000)  # about 6 KiB of memory each
max_workers = 1_000
purge_offline_workers = 3_600  # seconds: what was scaled away goes from the list
tasks_columns = "name,uuid,args,state,result,received,runtime,worker"
natural_time = True  # "a minute ago": narrower, so that all columns fit


def format_task(task: object) -> object:
    """Flower takes a plain function only."""
    return display.readable(task)


_settings = load_settings()
_redis = connect(_settings, BRIEF_SECONDS)
inside.close_gaps()
inside.add_queues(lambda: display.fleets(_redis))
extension.add_pages(Board(_redis, _settings.batch_ttl_seconds), Queues(_redis), Desk(monitor.app, _redis))
