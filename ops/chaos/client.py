"""`python -m ops.chaos.client ORDER`: a program that uses manycore, and which is killed and run again itself.

It goes through the door that its order (JSON) names, and writes down what came out. It judges nothing. SIGUSR1 makes it
say where all of its threads are.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys

from manycore import Cluster
from ops.chaos.doors.all import DOORS
from ops.chaos.doors.door import Book, beginning
from ops.chaos.order import Order


def main() -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    order = Order(**json.loads(sys.argv[1]))
    book = Book(order)
    with beginning():
        cluster = Cluster()
    order.connected.touch()
    with cluster:
        DOORS[order.door].run(cluster, order, book)
    book.write()


if __name__ == "__main__":
    main()
