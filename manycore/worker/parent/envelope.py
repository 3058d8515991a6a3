"""Reads the envelope of a task message: what kombu and Celery put around the sealed body. No signature covers it.

An envelope is built anew from the fields that are known, each of its own type; so nothing that a stranger adds reaches
Celery, which believes what it finds (`callbacks` in the headers would be published under our signature). It looks at
no body: that is for the signature (`transport.TaskMessage`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any

from celery.app.task import Context
from celery.utils.time import maybe_iso8601

from manycore.errors import MessageRefused
from manycore.protocol.signing import CONTENT_TYPE

MAX_HEADER_BYTES = 64 * 1024
"""What an envelope may add to its body."""
MAX_TEXT = 255
MAX_SHOWN = 2048
_TAG = re.compile(r"[A-Za-z0-9-]{1,64}")
_SHOWN = ("shadow", "argsrepr", "kwargsrepr", "origin")
"""Headers that are only ever shown: what could forge a line of a log or a terminal is escaped in them."""


class Envelope(dict[str, Any]):
    """A task message whose form was checked, as kombu takes it."""


def read_envelope(raw: bytes, queue: str, *, max_message_bytes: int) -> Envelope:
    """The message `raw`, found in `queue`. Raises `MessageRefused` for anything that no client of ours would send."""
    limit = max_message_bytes * 4 // 3 + MAX_HEADER_BYTES
    if len(raw) > limit:
        raise MessageRefused(f"it has {len(raw):,} bytes with its headers, the limit is {limit:,}")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise MessageRefused("it is not JSON") from exc
    if not isinstance(found, dict):
        raise MessageRefused(f"it is a {type(found).__name__}, not a message")
    _require(found.get("content-type") == CONTENT_TYPE, "content-type", found.get("content-type"))
    _require(found.get("content-encoding") == "binary", "content-encoding", found.get("content-encoding"))
    body, headers, properties = found.get("body"), found.get("headers"), found.get("properties")
    _require(isinstance(body, str) and body != "", "body", body)
    return Envelope(
        {
            "body": body,
            "content-type": CONTENT_TYPE,
            "content-encoding": "binary",
            "headers": _headers(headers),
            "properties": _properties(properties, queue),
        }
    )


def _require(holds: bool, what: str, value: object) -> None:
    if not holds:
        raise MessageRefused(f"its {what} cannot be {value!r:.100}")


def _headers(found: Any) -> dict[str, Any]:
    _require(isinstance(found, dict), "headers", found)
    _require(_text(found.get("task")), "task", found.get("task"))
    _require(_text(found.get("id")), "id", found.get("id"))
    for name, value in found.items():
        check = _HEADERS.get(name)
        if not (check(value) if check else _custom(value) and _is_free(name)):
            _require(False, f"header {name!r:.60}", value)
    shown = {name: _shown(found[name]) for name in _SHOWN if found.get(name)}
    return {**found, **shown}


def _properties(found: Any, queue: str) -> dict[str, Any]:
    _require(isinstance(found, dict), "properties", found)
    for name, check in _PROPERTIES.items():
        if not check(found.get(name)):
            _require(False, f"property {name}", found.get(name))
    kept = {name: found[name] for name in _PROPERTIES if name in found}
    # Where it was found is where it goes back to; what it says about that would be believed otherwise.
    info: dict[str, Any] = {"exchange": "", "routing_key": queue}
    if found["delivery_info"].get("redelivered"):
        info["redelivered"] = True
    return kept | {"delivery_info": info}


def _is_free(name: str) -> bool:
    """Whether a header is a user's own: Celery makes each an attribute of the request, over what is there."""
    return _text(name) and _is_no_attribute(name)


@lru_cache(maxsize=256)
def _is_no_attribute(name: str) -> bool:
    return name != "compression" and not name.startswith("_") and not hasattr(Context, name)


def _shown(value: str) -> str:
    value = value[:MAX_SHOWN]
    return value if value.isprintable() else value.encode("unicode_escape").decode()


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _maybe_text(value: Any) -> bool:
    return value is None or value == "" or _text(value)


def _maybe_any_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _maybe_count(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value < 2**31)


def _maybe_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _custom(value: Any) -> bool:
    return _scalar(value) or (isinstance(value, list) and all(map(_scalar, value)))


def _maybe_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_text, value)))


def _maybe_stamps(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and all(map(_is_free, value)) and all(map(_custom, value.values()))
    )


def _maybe_limits(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_maybe_seconds, value)))


def _maybe_seconds(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and isfinite(value) and 0 < value < 2**31)


def _maybe_moment(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and len(value) <= 64 and maybe_iso8601(value).timestamp() is not None
    except (ValueError, OverflowError, TypeError, AttributeError):
        return False


_HEADERS: dict[str, Callable[[Any], bool]] = {
    "task": _text,
    "id": _text,
    "lang": _maybe_text,
    "meth": _maybe_text,
    "root_id": _maybe_text,
    "parent_id": _maybe_text,
    "group": _maybe_text,
    "group_index": _maybe_count,
    "retries": _maybe_count,
    "replaced_task_nesting": _maybe_count,
    "timelimit": _maybe_limits,
    "eta": _maybe_moment,
    "expires": _maybe_moment,
    "ignore_result": _maybe_flag,
    "redelivered": _maybe_flag,
    "stamped_headers": _maybe_texts,
    "stamps": _maybe_stamps,
} | dict.fromkeys(_SHOWN, _maybe_any_text)
"""The headers of Celery's protocol 2, with what each may hold. A header beyond these is a user's own."""

_PROPERTIES: dict[str, Callable[[Any], bool]] = {
    "body_encoding": lambda value: value == "base64",
    "delivery_tag": lambda value: isinstance(value, str) and _TAG.fullmatch(value) is not None,
    "delivery_info": lambda value: isinstance(value, dict),
    "delivery_mode": _maybe_count,
    "priority": _maybe_count,
    "correlation_id": _maybe_text,
    "reply_to": _maybe_text,
}
