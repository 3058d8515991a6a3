"""The address of a server, read once and strictly; redis-py, kombu and Celery each get it in their own words.

Each of the three reads addresses in its own way: what one takes for a database another takes for nothing, and a raw
`#` in a password ends in an error that shows half of it. So an address is taken apart here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from manycore.errors import SettingsError

DEFAULT_PORT = 6379
EXAMPLE = "redis://user:password@host:6379/0"
ENCODE = (
    "Write the special characters of a user name or password percent-encoded: %23 for #, %2F for /, %3F for ?, "
    "%40 for @, %25 for % (Python: urllib.parse.quote(password, safe=''))."
)
CREDENTIALS = ("username", "password")
TLS_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
CERT_REQS = ("required", "optional", "none")
_UNSUPPORTED = re.compile(r"sentinel|cluster", re.IGNORECASE)
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Address:
    """One server and one database of it. `path` is that of a unix socket, None for a `host` and `port`."""

    host: str | None
    port: int
    path: str | None
    database: int = 0
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Take an address apart. Raises `SettingsError`, which never shows a part of a password."""
        scheme, rest = _scheme(text.strip())
        rest, _, query = rest.partition("?")
        _refuse_raw_characters(scheme, rest, query)
        options = _options(scheme, query)
        authority, slash, path = rest.partition("/")
        credentials, _, place = authority.rpartition("@")
        name, _, secret = credentials.partition(":")
        user, password = unquote(name) or options.get("username"), unquote(secret) or options.get("password")
        if scheme == "unix":
            return cls(None, 0, _socket(place, slash + path), _database("", options), user, password)
        host, port = _host_and_port(place)
        tls = _tls(options) if scheme == "rediss" else None
        return cls(host, port, None, _database(path, options), user, password, tls)

    @property
    def redis_url(self) -> str:
        """As redis-py writes it."""
        if self.path is not None:
            return f"unix://{self._credentials}{quote(self.path)}?db={self.database}"
        tls = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"redis{'s' if self.tls else ''}://{self._place}{tls}"

    @property
    def broker_url(self) -> str:
        """As kombu writes it; that TLS is wanted, and how, is told apart (`tls`)."""
        return f"redis+{self.socket_url}" if self.path is not None else f"redis://{self._place}"

    @property
    def backend_url(self) -> str:
        """As Celery's result backend writes it."""
        return f"redis+{self.socket_url}" if self.path is not None else self.redis_url

    def backend_by(self, kind: str) -> str:
        """Likewise, for a backend of our own: `kind` is `module:Class`."""
        return f"{kind}+{self.backend_url.removeprefix('redis+')}"

    @property
    def socket_url(self) -> str:
        """Of a unix socket, as kombu and Celery write it where the class that reads it was named apart."""
        return f"socket://{self._credentials}{quote(self.path or '')}?virtual_host={self.database}"

    @property
    def _place(self) -> str:
        host = self.host or ""
        return f"{self._credentials}{f'[{host}]' if ':' in host else host}:{self.port}/{self.database}"

    @property
    def _credentials(self) -> str:
        if not self.user and not self.password:
            return ""
        return f"{quote(self.user or '', safe='')}:{quote(self.password or '', safe='')}@"


def _scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not text:
        raise SettingsError(f"The address of the server is empty. It looks like {EXAMPLE}.")
    if separator and scheme in ("redis", "rediss", "unix"):
        return scheme, rest
    if separator and _UNSUPPORTED.search(scheme):
        raise SettingsError(
            f"An address that begins with {scheme}:// is not supported: manycore needs one Redis or Valkey, no "
            f"Sentinel and no cluster mode. Give the address of a single server, like {EXAMPLE}, or of a proxy that "
            "follows its failovers."
        )
    raise SettingsError(
        f"The address of the server must begin with redis://, rediss:// (TLS) or unix://; it looks like {EXAMPLE}."
    )


def _refuse_raw_characters(scheme: str, rest: str, query: str) -> None:
    """What would end the password early, and be taken for a host, a path or an option."""
    torn = scheme != "unix" and "@" in rest.partition("/")[2] + query.partition("password=")[0]
    if "#" in rest or "#" in query or torn or (scheme == "unix" and "@" in query and "password=" not in query):
        raise SettingsError(f"The address of the server ({scheme}://...) holds a raw '#', '/' or '?'. {ENCODE}")
    if re.search(r"[\s\x00-\x1f]", rest.rpartition("@")[2] if scheme != "unix" else ""):
        raise SettingsError(
            f"The address of the server ({scheme}://...) holds a space or a line break. It looks like {EXAMPLE}."
        )


def _options(scheme: str, query: str) -> dict[str, str]:
    known = ("db", *CREDENTIALS, *(TLS_OPTIONS if scheme == "rediss" else ()))
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name in known:
            continue
        if name in TLS_OPTIONS:
            raise SettingsError(f"The address has the option {name!r}, which needs TLS: write rediss:// for redis://.")
        close = get_close_matches(name, known, n=1)
        meant = f"Did you mean {close[0]!r}?" if close else "Leave it out: manycore sets time-outs and checks itself."
        raise SettingsError(f"The address has an unknown option {name!r}; known are {', '.join(known)}. {meant}")
    return options


def _database(path: str, options: Mapping[str, str]) -> int:
    given = [text for text in (path.strip("/"), options.get("db", "")) if text]
    if len(set(given)) > 1:
        raise SettingsError("The address names two databases, in its path and as ?db=. Leave one of them out.")
    text = given[0] if given else "0"
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise SettingsError(f"The database in the address must be a number, as the 0 in {EXAMPLE}.")
    return int(text)


def _socket(place: str, path: str) -> str:
    if place or not path.strip("/"):
        raise SettingsError("The address of a unix socket needs its absolute path, as in unix:///run/redis.sock.")
    return unquote(path)


def _host_and_port(place: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::([^:]*))?", place)
    if match is None:
        raise SettingsError(
            f"The host in the address cannot be read. It looks like {EXAMPLE}; an IPv6 address stands in brackets: "
            f"redis://[::1]:6379/0. {ENCODE}"
        )
    host, port = unquote(match[1]).strip("[]"), match[2]
    if not host:
        raise SettingsError("The address names no host. That of a server on this machine is redis://127.0.0.1:6379/0.")
    if port in (None, ""):
        return host, DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        # Not shown: where a password was not encoded, this is a part of it.
        raise SettingsError(f"The port in the address is no number from 1 to 65535. It looks like {EXAMPLE}. {ENCODE}")
    return host, int(port)


def _tls(options: Mapping[str, str]) -> dict[str, Any]:
    """The options of TLS; the server's certificate is checked unless the address says otherwise."""
    found: dict[str, Any] = {name: options[name] for name in TLS_OPTIONS if name in options}
    found["ssl_cert_reqs"] = found.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if found["ssl_cert_reqs"] not in CERT_REQS:
        raise SettingsError(f"The option ssl_cert_reqs of the address is one of {', '.join(CERT_REQS)}.")
    if "ssl_check_hostname" in found:
        checked = _TRUTH.get(found["ssl_check_hostname"].lower())
        if checked is None:
            raise SettingsError("The option ssl_check_hostname of the address is true or false.")
        found["ssl_check_hostname"] = checked
    elif found["ssl_cert_reqs"] == "none":
        found["ssl_check_hostname"] = False  # OpenSSL will not check a name on a certificate that it does not check
    return found
