"""The result of a plain Celery call on the wire: signed with the id of the call that it answers, and its state.

So both can be known without rebuilding the result, which is the caller's affair: a worker's parent never does.
"""

from __future__ import annotations

import pickle
from typing import Any

from manycore.errors import NotPicklable
from manycore.protocol import signing
from manycore.protocol.pickling import dumps, reason_of
from manycore.protocol.signing import Keyring

WHAT = "A task's result"


def seal_result(keyring: Keyring, meta: Any) -> bytes:
    """Sign what Celery stores of a call, a dict; or what it keeps for groups. Raises `NotPicklable`."""
    named = meta if isinstance(meta, dict) else {}
    try:
        body = dumps(meta, WHAT)
    except KeyboardInterrupt as exc:  # the result's own: none reaches a worker's children from outside
        raise NotPicklable(WHAT, reason_of(exc)) from exc
    return keyring.seal(signing.RESULT, (named.get("task_id"), named.get("status")), body)


def open_result(keyring: Keyring, message: bytes, *, max_bytes: int) -> Any:
    """Verify and rebuild what `seal_result` was given. Raises `MessageRefused`, or what rebuilding it does."""
    return pickle.loads(keyring.open(signing.RESULT, message, max_bytes=max_bytes).body)


def head_of(keyring: Keyring, message: bytes) -> dict[str, Any]:
    """What a result says of itself, in Celery's form and without the result. Raises `MessageRefused`."""
    task_id, status = keyring.open(signing.RESULT, message).header
    return {"task_id": task_id, "status": status, "result": None, "traceback": None, "children": []}
