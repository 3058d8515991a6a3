# From CPython 3.13.0, Lib/test/test_concurrent_futures/util.py. Copyright (c) 2001-2024 Python Software Foundation;
# All Rights Reserved. See LICENSE beside this file. Changes: the futures alone, and three names of
# test.support.
import gc
from concurrent.futures._base import (
    PENDING, RUNNING, CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, Future,
    )

import pytest

# manycore: what the tests took from test.support
SHORT_TIMEOUT = 30.0


def gc_collect():
    gc.collect()


def requires_resource(name):
    """Those that need much time by the clock run with the slow tests."""
    assert name == 'walltime'
    return pytest.mark.slow


def create_future(state=PENDING, exception=None, result=None):
    f = Future()
    f._state = state
    f._exception = exception
    f._result = result
    return f


PENDING_FUTURE = create_future(state=PENDING)
RUNNING_FUTURE = create_future(state=RUNNING)
CANCELLED_FUTURE = create_future(state=CANCELLED)
CANCELLED_AND_NOTIFIED_FUTURE = create_future(state=CANCELLED_AND_NOTIFIED)
EXCEPTION_FUTURE = create_future(state=FINISHED, exception=OSError())
SUCCESSFUL_FUTURE = create_future(state=FINISHED, result=42)
