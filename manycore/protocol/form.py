"""Commands that are sent again and again and differ in one word: packed once, the word is filled in.

redis-py packs each command anew, which takes longer than to send it.
"""

from __future__ import annotations

from secrets import token_hex
from typing import Any

BLANK = token_hex(16)
"""Stands for the word, which is as long. Random, so that nothing else holds it."""


class Form:
    """Some commands in the form in which they travel, with blanks."""

    def __init__(self, connection: Any, *commands: tuple[Any, ...]) -> None:
        packed = b"".join(connection.pack_commands(commands))
        self._parts = packed.split(BLANK.encode())

    def filled(self, word: str) -> bytes:
        """The commands with this word, of the length of `BLANK`, in each blank."""
        return word.encode().join(self._parts)
