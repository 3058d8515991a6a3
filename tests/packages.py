"""Distributions made for tests: installed into a folder, or as a wheel that pip installs without any index."""

from __future__ import annotations

import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def files_of(name: str, version: str, source: str) -> dict[str, str]:
    """The files of a distribution with one module of its own name."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": METADATA.format(name=name, version=version),
        f"{info}/WHEEL": WHEEL,
    }
    return files | {f"{info}/RECORD": "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])}


def install(folder: Path, name: str, version: str, source: str) -> Path:
    """Have it in this folder, as installers leave it; gives the folder."""
    for path, text in files_of(name, version, source).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def wheel(folder: Path, name: str, version: str, source: str) -> Path:
    """Have it as a wheel in this folder; gives the folder, for `pip --find-links`."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, text in files_of(name, version, source).items():
            file.writestr(path, text)
    return folder
