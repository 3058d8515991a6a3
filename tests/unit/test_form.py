"""`Form`: what is packed once is what redis-py would pack each time."""

from __future__ import annotations

from typing import Any

from redis import Connection

from manycore.protocol.form import BLANK, Form


def test_a_filled_form_is_what_is_sent_otherwise() -> None:
    connection: Any = Connection()  # type: ignore[no-untyped-call]
    word = "0123456789abcdef" * 2
    form = Form(connection, ("GET", "a"), ("HSET", "b", BLANK, BLANK))
    assert form.filled(word) == b"".join(connection.pack_commands([("GET", "a"), ("HSET", "b", word, word)]))
    assert len(word) == len(BLANK)
