"""What holds for all tests: none hangs without a word."""

from __future__ import annotations

import signal

from tests.watchdog import (
    no_thread_left,
    pytest_configure,
    pytest_runtest_setup,
    pytest_runtest_teardown,
    pytest_unconfigure,
)

__all__ = [
    "no_thread_left",
    "pytest_configure",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "pytest_unconfigure",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background of a shell: what ignores a signal hands that on, and no test could send Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
