"""Reads the syntax of source, in several threads at once."""

from __future__ import annotations

import ast

MOST = 20
"""How often it is tried."""


def parsed(source: str | bytes) -> ast.Module:
    """`ast.parse`, but for what is not the source's fault.

    Before 3.11.8 and 3.12.2, Python counts for all threads together how deep they are, and raises `SystemError` where
    two meet (python/cpython#106905). Those of others cannot be kept away, so it is tried again.
    """
    for _ in range(MOST - 1):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)
