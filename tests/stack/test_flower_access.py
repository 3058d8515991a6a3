"""Who may see the stack's Flower, and who may change something there: on every path, by every method."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from tornado.web import RequestHandler

from manycore import Cluster
from manycore.errors import BatchCancelled
from ops.flower import extension
from tests.stack.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

NOTE = "tasks.mine.note"
EXAMPLES = {
    "/?": "",
    "(.+)": "x",
    "(.*)": "x",
    "([^/]+)": "x",
    "(retry|purge)": "retry",
    ".*": "/nothing",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
READING = {"/nothing", "/tasks/datatable"}
"""What may be asked for by POST and changes nothing."""
WRONG = {
    "nothing": "",
    "another password": "Basic " + base64.b64encode(b"admin:admin").decode(),
    "no ASCII": "Basic " + base64.b64encode("admin:pässword".encode()).decode(),
    "no base64": "Basic :",
    "another scheme": "Bearer x",
}


def routes() -> Iterator[tuple[str, str]]:
    """Each path that Flower answers on, ours too, as an example, with each method that its handler has."""
    from flower.urls import handlers

    for handler in [*extension.paths(None, None, None), *handlers]:  # type: ignore[arg-type]
        kind: Any = handler[1] if isinstance(handler, tuple) else handler.handler_class
        methods = [name for name in METHODS if getattr(kind, name.lower()) is not getattr(RequestHandler, name.lower())]
        for method in methods or ["GET"]:  # Flower's login makes its handler only when it is asked
            yield path_of(handler), method


def path_of(handler: Any) -> str:
    """An example of the path that a Tornado handler's pattern takes."""
    pattern = handler[0] if isinstance(handler, tuple) else handler.regex.pattern
    for part, example in EXAMPLES.items():
        pattern = pattern.replace(part, example)
    return str(pattern).rstrip("$")


ROUTES = sorted(set(routes()))


def test_all_routes_are_known() -> None:
    assert len(ROUTES) >= 50
    assert {("/", "GET"), ("/api/batches/x/cancel", "POST"), ("/metrics", "GET")} <= set(ROUTES)


@pytest.mark.parametrize("authorization", WRONG.values(), ids=WRONG)
def test_without_the_password_every_path_refuses(stack: Stack, authorization: str) -> None:
    for path, method in ROUTES:
        status, body = ask(stack, path, authorization, method=method)
        public = path.startswith(("/static/", "/manycore/"))  # scripts and style sheets: nobody's data is in them
        expected = {401, 404} if public or path in ("/login", "/nothing") else {401}
        assert status in expected, f"{method} {path} answers {status}"
        assert b"cpu@" not in body, path


def test_nothing_can_be_changed_when_it_is_read_only(stack: Stack) -> None:
    changing = [path for path, method in ROUTES if method not in ("GET", "HEAD") and path not in READING]
    assert len(changing) > 15
    for path in changing:
        status, body = ask(stack, path, known(stack), method="POST")
        assert status == 403, path
        assert b"ead only" in body or b"ead-only" in body, path


def test_its_own_user_on_the_server_may_do_what_the_buttons_do(connected: Cluster, stack: Stack) -> None:
    stack.compose("up", "-d", "--wait", "--no-deps", "flower", MANYCORE_FLOWER_READ_ONLY="0")
    try:
        batch = connected.batch(NOTE, range(20_000), id="unwanted", kwargs={"batch": "unwanted", "seconds": 0.05})
        wait_until(lambda: batch.progress.done, "it runs")
        wait_until(lambda: read(stack, "/api/batches?search=unwanted")["batches"], "Flower knows it")
        wait_until(lambda: read(stack, "/api/batches/unwanted")["call"], "its client has told of it")
        found = read(stack, "/api/batches/unwanted")
        assert (found["task"], found["total"], found["fleet"]) == (NOTE, 20_000, "cpu")
        assert found["call"] == f"{NOTE}(0, batch='unwanted', seconds=0.05)"
        assert found["chunks"]["in_work"] > 0
        for path in ("/api/slots", "/api/queues", "/api/quarantine", "/api/quarantine?batch=unwanted"):
            read(stack, path)
        assert ask(stack, "/api/batches/unwanted/cancel", known(stack), method="POST")[0] == 200
        with pytest.raises(BatchCancelled):
            batch.gather()
        assert read(stack, "/api/batches/unwanted")["state"] == "cancelled"
    finally:
        stack.compose("up", "-d", "--wait", "--no-deps", "flower")


def known(stack: Stack) -> str:
    return "Basic " + base64.b64encode(f"admin:{stack.flower_password}".encode()).decode()


def read(stack: Stack, path: str) -> dict[str, Any]:
    status, body = ask(stack, path, known(stack))
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def ask(stack: Stack, path: str, authorization: str, *, method: str = "GET") -> tuple[int, bytes]:
    connection = HTTPConnection(stack.flower.removeprefix("http://"), timeout=20)
    headers = {"X-Requested-With": "XMLHttpRequest"} | ({"Authorization": authorization} if authorization else {})
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()
