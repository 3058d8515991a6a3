"""The stack, brought up once; without an engine these tests skip, and in CI they fail."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from manycore import Cluster
from tests.required import missing, program
from tests.stack.machines import machines
from tests.stack.pythons import IMAGE
from tests.stack.stack import ROOT, Stack

__all__ = ["machines"]
FLAGS = [
    "--no-sandbox",  # as root, which CI is
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers, with Compose."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as exc:
            missing(f"`{' '.join(command)}` fails: {exc}")


@pytest.fixture(scope="session")
def user_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack's tasks with some of a user's beside them: the folder that is mounted."""
    folder = tmp_path_factory.mktemp("mounted") / "tasks"
    shutil.copytree(ROOT / "tasks", folder)
    shutil.copy(ROOT / "tests/stack/tasks_of_a_user.py", folder / "mine.py")
    for path in (folder.parent, folder.parent.parent, folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture(scope="session")
def stack(engine: None, user_tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack on Redis, healthy."""
    folder = tmp_path_factory.mktemp("redis")
    stack = Stack(f"manycore-test-{secrets.token_hex(3)}", folder, MANYCORE_TASKS_FOLDER=str(user_tasks))
    try:
        stack.begin(IMAGE)
        yield stack
    finally:
        stack.down()


@pytest.fixture
def connected(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A client on the host, with what `manycore env` gave it."""
    for name, value in stack.client_environment().items():
        monkeypatch.setenv(name, value)
    cluster = Cluster()
    yield cluster
    cluster.shutdown(cancel_futures=True)  # of a test that failed in the middle, too


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page of the stack's Flower, of somebody who knows the password."""
    credentials: Any = {"username": "admin", "password": stack.flower_password}
    context = browser.new_context(
        http_credentials=credentials, base_url=stack.flower, viewport={"width": 1280, "height": 620}
    )
    yield context.new_page()
    context.close()
