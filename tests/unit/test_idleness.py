"""`Idleness`: what a parent says of its slots, its children know."""

from __future__ import annotations

import os

from manycore.worker.idleness import Idleness


def test_until_it_is_said_a_slot_may_be_idle() -> None:
    assert Idleness().any


def test_what_is_said_after_the_fork_is_known_to_the_child() -> None:
    idleness = Idleness()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(told, 1)
        os._exit(int(idleness.any))
    idleness.say(0)
    os.write(tell, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(told)
    os.close(tell)
