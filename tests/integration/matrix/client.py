"""A client of its own, in a process of its own: what happens with a call there may end it."""

from __future__ import annotations

import sys

from manycore import Cluster
from manycore.plain import celery_app
from tests.integration.matrix.doors import DOORS
from tests.integration.matrix.trouble import Trouble


def main(door: str, fleet: str, place: str, fault: str, flag: str) -> None:
    client = celery_app() if door == "plain" else Cluster()
    print(DOORS[door](client, fleet, Trouble(place, fault, flag), in_vain=False), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
