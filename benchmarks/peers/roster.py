"""All peers by the name of their environment, in the order of the table."""

from __future__ import annotations

from benchmarks.peers.celery_ import PlainCelery
from benchmarks.peers.dask_ import Dask
from benchmarks.peers.dramatiq_ import Dramatiq
from benchmarks.peers.huey_ import Huey
from benchmarks.peers.interpreters import Interpreters
from benchmarks.peers.ipyparallel_ import Ipyparallel
from benchmarks.peers.joblib_ import Joblib
from benchmarks.peers.manycore_ import Manycore
from benchmarks.peers.mpire_ import Mpire
from benchmarks.peers.multiprocessing_pool import MultiprocessingPool
from benchmarks.peers.peer import Peer
from benchmarks.peers.ppft_ import ParallelPython
from benchmarks.peers.process_pool import ProcessPool
from benchmarks.peers.ray_ import Ray
from benchmarks.peers.rq_ import RQ
from benchmarks.peers.saq_ import SAQ
from benchmarks.peers.serial import Serial
from benchmarks.peers.taskiq_ import Taskiq
from benchmarks.peers.threads import Threads

OURS = "manycore"
PEERS: dict[str, type[Peer]] = {
    OURS: Manycore,
    "serial": Serial,
    "threads": Threads,
    "pool": ProcessPool,
    "multiprocessing": MultiprocessingPool,
    "interpreters": Interpreters,
    "joblib": Joblib,
    "mpire": Mpire,
    "ppft": ParallelPython,
    "dask": Dask,
    "ray": Ray,
    "ipyparallel": Ipyparallel,
    "celery": PlainCelery,
    "rq": RQ,
    "dramatiq": Dramatiq,
    "huey": Huey,
    "taskiq": Taskiq,
    "saq": SAQ,
}
