"""All settings, read from the environment (`MANYCORE_...`) and checked once, at start. No other file reads them.

By hand: a library for it would be a seventh of what a process imports before it can do anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from manycore.errors import SettingsError, SigningKeyMissing
from manycore.protocol.address import Address
from manycore.protocol.signing import Keyring
from manycore.protocol.trust import with_authority

MIB = 1024 * 1024
PREFIX = "MANYCORE_"
OTHERS = frozenset({"MANYCORE_PULL", "MANYCORE_PULSE_FILE"})
"""Variables of the stack that look like one of these; a test holds it against the stack's files."""


def _of(about: str, **bounds: float) -> dict[str, Any]:
    """What a field is for, and between which bounds its value must be: `above`, `least`, `most`."""
    return {"about": about, **bounds}


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. Sizes are in bytes, times in seconds."""

    url: str | None = field(
        default=None, repr=False, metadata=_of("redis://, rediss:// or unix:// address of the server")
    )
    url_file: Path | None = field(
        default=None, metadata=_of("file with the address, which holds a password; `url` wins")
    )
    ca_file: Path | None = field(
        default=None, metadata=_of("certificate of the authority that a rediss:// server is trusted by")
    )
    key: str | None = field(default=None, repr=False, metadata=_of("signing keys, the signing one first"))
    key_file: Path | None = field(default=None, metadata=_of("file with the signing keys; wins over `key`"))
    tasks: tuple[str, ...] = field(default=(), metadata=_of("modules whose tasks the workers load"))
    allow_functions: bool = field(default=True, metadata=_of("whether workers run functions shipped by value"))
    strict_code: bool = field(
        default=False, metadata=_of("whether a client refuses tasks whose source the workers have otherwise")
    )
    check_packages: bool = field(
        default=True, metadata=_of("whether a client looks if workers have what its batches import")
    )
    extra_packages: tuple[str, ...] = field(default=(), metadata=_of("what a worker installs at its start"))
    allow_packages: bool = field(
        default=False, metadata=_of("whether workers install the packages that a batch asks for")
    )
    packages_folder: Path | None = field(default=None, metadata=_of("where those are, for all workers of a host"))
    max_item_bytes: int = field(
        default=64 * MIB, metadata=_of("largest item, result or function", above=0, most=512 * MIB - 1)
    )
    max_message_bytes: int = field(
        default=2 * MIB, metadata=_of("largest message that a worker accepts", least=64 * 1024)
    )
    inline_bytes: int = field(default=16 * 1024, metadata=_of("a larger payload travels beside its message", least=0))
    batch_ttl_seconds: int = field(
        default=86_400, metadata=_of("how long a batch's keys outlive their last use", least=60)
    )
    connection_seconds: float = field(default=60.0, metadata=_of("how long a lost server is waited for", above=0))
    run_folder: Path | None = field(default=None, metadata=_of("where a worker keeps its children's black boxes"))
    objects_folder: Path | None = field(
        default=None, metadata=_of("where large objects are kept instead of shared memory")
    )
    objects_bytes: int | None = field(default=None, metadata=_of("bytes that large objects may take there", least=MIB))
    lease_seconds: float = field(
        default=30.0, metadata=_of("a worker silent for so long has its items run elsewhere", least=2)
    )
    stop_seconds: float = field(
        default=25.0, metadata=_of("how long a stopping worker waits for its running items", above=0)
    )
    audit_seconds: float = field(
        default=5.0, metadata=_of("how long a batch is silent before lost items are looked for", above=0)
    )
    max_executions: int = field(default=3, metadata=_of("how often an item that kills its worker may run", least=1))
    initializer_seconds: float = field(
        default=600.0, metadata=_of("how long a batch's initializer may run", above=0, most=86_400)
    )
    capture: bool = field(default=True, metadata=_of("whether what items print and log goes to the log of their batch"))
    capture_item_bytes: int = field(default=64 * 1024, metadata=_of("of an item in that log", least=1024, most=MIB))
    capture_batch_bytes: int = field(
        default=MIB, metadata=_of("of that log; the oldest leaves", least=128 * 1024, most=64 * MIB)
    )
    logformat: Literal["text", "json"] = field(default="text", metadata=_of("how a worker writes its own log"))
    max_item_memory: int | None = field(
        default=None, metadata=_of("bytes an item may take beyond what its process has", least=MIB)
    )
    max_tasks_per_child: int | None = field(
        default=None, metadata=_of("chunks after which a child is replaced", least=1)
    )
    max_memory_per_child: int | None = field(
        default=None, metadata=_of("bytes after which a child is replaced", least=1)
    )

    def keyring(self) -> Keyring:
        """The signing keys. Raises `SigningKeyMissing` without one, `SettingsError` for an unusable one."""
        if self.key_file is not None:
            return Keyring.parse(_read("key file", self.key_file))
        if self.key is not None and self.key.strip():
            return Keyring.parse(self.key)
        raise SigningKeyMissing(redacted(self.url or "the cluster"))


NAMES = tuple(each.name for each in fields(Settings))


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides`, where not None, win over the environment.

    Raises `SettingsError` naming each bad one.
    """
    _refuse_misspelt(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = _checked(given)
    url = settings.url
    if url is None and settings.url_file is not None:
        url = _read("address file", settings.url_file).strip()
    trusted = url and with_authority(url, settings.ca_file)
    return settings if trusted == settings.url else _checked(given | {"url": trusted})


def at_server(settings: Settings) -> Settings:
    """The same settings. Raises `SettingsError` if they name no server, of which there is none to look into then."""
    if settings.url is None:
        raise SettingsError("There is no cluster to look into. Set MANYCORE_URL to the address of its server.")
    return settings


def _checked(given: Mapping[str, Any]) -> Settings:
    """Settings of what was given, and else of the environment."""
    found, bad = {}, []
    for each in fields(Settings):
        variable = f"{PREFIX}{each.name.upper()}"
        value = given.get(each.name) if each.name in given else os.environ.get(variable) or None
        if value is None:
            continue
        try:
            found[each.name] = _within(
                READERS[str(each.type)](value) if isinstance(value, str) else value, each.metadata
            )
            if each.name == "url":
                Address.parse(value)  # whoever asks for the server, in whatever words, is told the same
        except ValueError as exc:
            bad.append(f"{variable}: {exc}")
    if bad:
        said = "; ".join(bad)
        raise SettingsError(f"These settings cannot work: {said}{'' if said.endswith('.') else '.'}")
    return Settings(**found)


def _within(value: Any, bounds: Mapping[str, Any]) -> Any:
    """The value. Raises `ValueError` if it is out of its bounds."""
    above, least, most = map(bounds.get, ("above", "least", "most"))
    if above is not None and not value > above:
        raise ValueError(f"should be greater than {above:,}")
    if least is not None and not value >= least:
        raise ValueError(f"should be at least {least:,}")
    if most is not None and not value <= most:
        raise ValueError(f"should be at most {most:,}")
    return value


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise ValueError("should be a number")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("should be a whole number") from None


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in SWITCHES:
        raise ValueError("should be 1 or 0")
    return SWITCHES[word]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _format(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("should be 'text' or 'json'")
    return text


SWITCHES = dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True) | dict.fromkeys(
    ("0", "false", "f", "no", "n", "off"), False
)
READERS: dict[str, Callable[[str], Any]] = {
    "str | None": str.strip,
    "Path | None": Path,
    "tuple[str, ...]": _words,
    "bool": _switch,
    "int": _whole,
    "int | None": _whole,
    "float": _number,
    "Literal['text', 'json']": _format,
}
"""How each type of setting is read."""


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A setting that is nearly one of ours would be ignored in silence. What is quite different is somebody else's."""
    known = [f"{PREFIX}{name.upper()}" for name in NAMES]
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in known or name in OTHERS:
            continue
        close = get_close_matches(name, known, n=1, cutoff=0.9)
        if close:
            raise SettingsError(f"There is no setting {name}. Did you mean {close[0]}?")


def _read(what: str, path: Path) -> str:
    try:
        text = path.read_text()
    except OSError as exc:
        raise SettingsError(f"The {what} {path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"The {what} {path} is not text.") from exc
    if not text.strip():
        raise SettingsError(f"The {what} {path} is empty.")
    return text


def redacted(url: str) -> str:
    """The address without its password, for messages and logs."""
    address, mark, query = url.partition("?")
    scheme, separator, rest = address.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    query = re.sub(r"(password=)[^&]*", r"\1***", query)  # redis-py takes one there too
    return f"{scheme}{separator}{f'{user}:***@' if at else ''}{place}{mark}{query}"
