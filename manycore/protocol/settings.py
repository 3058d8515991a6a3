"""All settings, read from the environment (`MANYCORE_...`) and checked once, at start. No other file reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from manycore.errors import SettingsError, SigningKeyMissing
from manycore.protocol.address import Address
from manycore.protocol.signing import Keyring
from manycore.protocol.trust import with_authority

MIB = 1024 * 1024
PREFIX = "MANYCORE_"
OTHERS = frozenset({"MANYCORE_PULL", "MANYCORE_PULSE_FILE"})
"""Variables of the stack that look like one of these; a test holds it against the stack's files."""


class Settings(BaseSettings):
    """One process's settings. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    url: str | None = Field(None, repr=False, description="redis://, rediss:// or unix:// address of the server")
    url_file: Path | None = Field(None, description="file with the address, which holds a password; `url` wins")
    ca_file: Path | None = Field(None, description="certificate of the authority that a rediss:// server is trusted by")
    key: SecretStr | None = Field(None, description="signing keys, the signing one first")
    key_file: Path | None = Field(None, description="file with the signing keys; wins over `key`")
    tasks: Annotated[tuple[str, ...], NoDecode] = Field((), description="modules whose tasks the workers load")
    allow_functions: bool = Field(True, description="whether workers run functions shipped by value")
    strict_code: bool = Field(
        False, description="whether a client refuses tasks whose source the workers have otherwise"
    )
    check_packages: bool = Field(True, description="whether a client looks if workers have what its batches import")
    extra_packages: Annotated[tuple[str, ...], NoDecode] = Field((), description="what a worker installs at its start")
    allow_packages: bool = Field(False, description="whether workers install the packages that a batch asks for")
    packages_folder: Path | None = Field(None, description="where those are, for all workers of a host")
    max_item_bytes: int = Field(64 * MIB, gt=0, le=512 * MIB - 1, description="largest item, result or function")
    max_message_bytes: int = Field(2 * MIB, ge=64 * 1024, description="largest message that a worker accepts")
    inline_bytes: int = Field(16 * 1024, ge=0, description="a larger payload travels beside its message")
    batch_ttl_seconds: int = Field(86_400, ge=60, description="how long a batch's keys outlive their last use")
    connection_seconds: float = Field(60.0, gt=0, description="how long a lost server is waited for")
    run_folder: Path | None = Field(None, description="where a worker keeps its children's black boxes")
    objects_folder: Path | None = Field(None, description="where large objects are kept instead of shared memory")
    objects_bytes: int | None = Field(None, ge=MIB, description="bytes that large objects may take there")
    lease_seconds: float = Field(30.0, ge=2, description="a worker silent for so long has its items run elsewhere")
    stop_seconds: float = Field(25.0, gt=0, description="how long a stopping worker waits for its running items")
    audit_seconds: float = Field(5.0, gt=0, description="how long a batch is silent before lost items are looked for")
    max_executions: int = Field(3, ge=1, description="how often an item that kills its worker may run")
    initializer_seconds: float = Field(600.0, gt=0, le=86_400, description="how long a batch's initializer may run")
    capture: bool = Field(True, description="whether what items print and log goes to the log of their batch")
    capture_item_bytes: int = Field(64 * 1024, ge=1024, le=MIB, description="of an item in that log")
    capture_batch_bytes: int = Field(MIB, ge=128 * 1024, le=64 * MIB, description="of that log; the oldest leaves")
    logformat: Literal["text", "json"] = Field("text", description="how a worker writes its own log")
    max_item_memory: int | None = Field(None, ge=MIB, description="bytes an item may take beyond what its process has")
    max_tasks_per_child: int | None = Field(None, ge=1, description="chunks after which a child is replaced")
    max_memory_per_child: int | None = Field(None, ge=1, description="bytes after which a child is replaced")

    @field_validator("tasks", "extra_packages", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            Address.parse(value)  # whoever asks for the server, in whatever words, is told the same
        return value and value.strip()

    def keyring(self) -> Keyring:
        """The signing keys. Raises `SigningKeyMissing` without one, `SettingsError` for an unusable one."""
        if self.key_file is not None:
            return Keyring.parse(_read("key file", self.key_file))
        if self.key is not None and self.key.get_secret_value().strip():
            return Keyring.parse(self.key.get_secret_value())
        raise SigningKeyMissing(redacted(self.url or "the cluster"))


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


def _checked(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as exc:
        found = "; ".join(
            f"MANYCORE_{'_'.join(map(str, error['loc'])).upper()}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_input=False, include_url=False)
        )
        raise SettingsError(f"These settings cannot work: {found}{'' if found.endswith('.') else '.'}") from None


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A setting that is nearly one of ours would be ignored in silence. What is quite different is somebody else's."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
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
