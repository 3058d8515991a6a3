"""Modules of a test's own."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path, **modules: str) -> None:
    """Write each as a file; `a__of__b` lies as `b.py` in the folder `a`."""
    for name, text in modules.items():
        path = folder / (name.replace("__of__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
