"""A worker's traceback, as the cause of what an item raised."""

from __future__ import annotations


class RemoteTraceback(Exception):
    """Carries a worker's traceback as text, as the cause of the exception that an item raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
