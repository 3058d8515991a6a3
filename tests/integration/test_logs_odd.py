"""Writings that are odd but ordinary, and the logging configuration of a user: all work as ever, and are heard."""

from __future__ import annotations

import logging
import logging.config
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from manycore import Cluster
from tests.integration.test_logs import written


class Talkative:
    """Speaks while it is pickled."""

    def __reduce__(self) -> Any:
        print("pickled")
        return str, ("a result",)


class Broken:
    def __str__(self) -> str:
        raise KeyError("no text")


def odd(case: str) -> Any:
    """Writings that are odd but ordinary."""
    if case == "broken format":
        logging.raiseExceptions = False
        logging.warning("%d items", "some")
        logging.warning("%s", Broken())
        logging.warning(Broken())
    elif case == "long line":
        print("x" * 10_000_000)
    elif case == "surrogate":
        logging.warning("bad \ud800 name")
        print("bad \ud800 name", file=sys.stderr)
    elif case == "escapes":
        print("\x1b[2J\x1b]0;owned\x07", "\x00", "\r")
    elif case == "result":
        return Talkative()
    elif case == "exception":
        try:
            raise LookupError("lost")
        except LookupError:
            logging.exception("caught")
    elif case == "thread":
        thread = threading.Thread(target=print, args=("in a thread",))
        thread.start()
        thread.join()
    elif case == "left behind":
        threading.Timer(0.2, print, ("too late",)).start()
    elif case == "subprocess":
        subprocess.run(["echo", "of another process"], check=True)
    elif case == "fork":
        if os.fork() == 0:
            print("of a copy")
            raise SystemExit(0)
        os.wait()
    elif case == "swallow":
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        print(sys.stdout.fileno(), sys.stdout.encoding, sys.stdout.buffer.writable())
    return case


def test_odd_but_ordinary_writings(cluster: Cluster) -> None:
    cases = ["broken format", "long line", "surrogate", "escapes", "result", "exception", "thread"]
    cases += ["subprocess", "fork", "swallow"]
    outcomes = {cases[outcome.index]: outcome for outcome in cluster.batch(odd, cases).as_completed()}
    assert [outcome.value for outcome in outcomes.values() if outcome.ok and outcome.value not in cases] == ["a result"]
    assert all(outcome.ok for outcome in outcomes.values())
    assert "%d items (TypeError while it was formatted)" in written(outcomes["broken format"], "log")
    assert "%s (KeyError while it was formatted)" in written(outcomes["broken format"], "log")
    assert "<its str() raised KeyError> (KeyError while it was formatted)" in written(outcomes["broken format"], "log")
    long = outcomes["long line"].stdout
    assert len(long) < 70_000
    assert "bytes left out]" in long
    assert r"bad \ud800 name" in written(outcomes["surrogate"], "log")
    assert r"bad \ud800 name" in written(outcomes["surrogate"], "stderr")
    assert outcomes["escapes"].stdout == "\x1b[2J\x1b]0;owned\x07 \x00 \r\n"
    assert outcomes["result"].stdout == "pickled\n"
    assert "LookupError: lost" in written(outcomes["exception"], "log")
    assert outcomes["thread"].stdout == "in a thread\n"
    assert outcomes["subprocess"].stdout == ""
    assert outcomes["fork"].stdout == ""
    assert outcomes["swallow"].stdout == "1 utf-8 True\n"


def test_what_an_item_leaves_behind_may_write_later() -> None:
    """In processes of its own: whatever runs there then is heard to say it."""
    with Cluster(workers=1) as cluster:
        (outcome,) = cluster.batch(odd, ["left behind"]).as_completed()
        assert outcome.ok


def configure(number: int, *, folder: str) -> list[str]:
    """The logging configuration of a user, made in an item; gives what its own handlers got."""
    path = Path(folder) / f"{number}.log"
    handler = {"class": "logging.FileHandler", "filename": str(path), "level": "ERROR"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"file": handler},
            "loggers": {"app": {"handlers": ["file"], "level": "DEBUG", "propagate": False}},
        }
    )
    logging.getLogger("app").debug("a detail")
    logging.getLogger("app").error("an error")
    return path.read_text().splitlines()


def test_the_users_own_logging_works_and_is_captured(cluster: Cluster, tmp_path: Path) -> None:
    outcomes = list(cluster.batch(configure, range(3), kwargs={"folder": str(tmp_path)}).as_completed())
    for outcome in outcomes:
        assert outcome.value == ["an error"]
        assert written(outcome, "log") == "a detail\nan error\n"


def logging_as_it_is(_: int) -> tuple[list[str], int]:
    root = logging.getLogger()
    return sorted(type(handler).__module__ for handler in root.handlers), root.level


def test_nothing_of_logging_is_replaced(cluster: Cluster) -> None:
    assert cluster.submit(logging_as_it_is, 0).result() == (["logging"], logging.WARNING)
