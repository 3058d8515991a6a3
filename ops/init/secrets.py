"""Makes the stack's secrets, each into the folder (a volume) of the service that needs it, and keeps those it finds.

    redis/users.acl       the server's users; it holds hashes of the passwords, so the server's user may read it
    worker/url, key       what workers need: the server's address with their password, the signing key
    flower/url, password  Flower's address of the server, and the password of its page
    exporter/url          for metrics
    grafana/password      of its page
    client/url, key       what clients need (`manycore env` takes them from here)

What TLS needs is in `certificates`. Nothing is printed but what was made. It never overwrites a secret: delete the
volume to have new ones.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

USERS = ("client", "worker", "flower", "exporter")
SIGNERS = ("worker", "client")
PAGES = ("flower", "grafana")
PASSWORD_BYTES = 32
MIN_SECRET_CHARACTERS = 24
WELL_KNOWN = frozenset({"changeme", "secret", "password", "manycore", "guest", "admin", "example", "default"})
_URL_PASSWORD = re.compile(r"://[^:@/]*:([^@]*)@")


class WeakSecret(ValueError):
    """A secret that was found and cannot be trusted."""


def ensure(folder: Path, template: str, *, server: str = "redis:6379") -> list[str]:
    """Make what is missing below `folder`; gives the names of what was made. Raises `WeakSecret`."""
    made: list[str] = []
    passwords = {}
    for user in USERS:
        path = folder / user / "url"
        url = _keep_or_make(path, f"redis://{user}:{secrets.token_urlsafe(PASSWORD_BYTES)}@{server}/0", made)
        passwords[user] = _password(path, url)
    _share_key([folder / user / "key" for user in SIGNERS], made)
    for page in PAGES:
        path = folder / page / "password"
        check(path, _keep_or_make(path, secrets.token_urlsafe(18), made))
    hashes = {user: hashlib.sha256(password.encode()).hexdigest() for user, password in passwords.items()}
    write(folder / "redis" / "users.acl", template.format(**hashes), 0o644)
    return made


def check(path: Path, secret: str) -> None:
    """Raise `WeakSecret` for one that is empty, short, or that everybody would try first."""
    text = secret.strip()
    reason = (
        "is empty"
        if not text
        else "is one that everybody would try first"
        if text.lower() in WELL_KNOWN or len(set(text)) < 6
        else f"has only {len(text)} characters, {MIN_SECRET_CHARACTERS} are the least"
        if len(text) < MIN_SECRET_CHARACTERS
        else ""
    )
    if reason:
        raise WeakSecret(f"The secret in {path} {reason}. Delete the file and start again: it is made anew.")


def _share_key(paths: list[Path], made: list[str]) -> None:
    """Who signs is believed by the others: a file that is missing gets the keys of another, if there is one."""
    found = {path: path.read_text() for path in paths if path.exists()}
    for path, keys in found.items():
        check(path, keys)
    if found and not set.intersection(*(set(keys.replace(",", " ").split()) for keys in found.values())):
        raise WeakSecret(
            f"The signing keys in {' and '.join(map(str, found))} have none in common: what one signs, the other "
            "refuses. Delete the file that is wrong and start again: it gets the keys of the other."
        )
    keys = next(iter(found.values()), secrets.token_hex(PASSWORD_BYTES)).strip()
    for path in paths:
        _keep_or_make(path, keys, made)


def _password(path: Path, url: str) -> str:
    found = _URL_PASSWORD.search(url)
    password = found[1] if found else ""
    check(path, password)
    return password


def _keep_or_make(path: Path, value: str, made: list[str]) -> str:
    if path.exists():
        return path.read_text().strip()
    write(path, value + "\n", 0o600)
    made.append(f"{path.parent.name}/{path.name}")
    return value


def write(path: Path, text: str, mode: int) -> None:
    """Write it whole or not at all, with its final mode from the start."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
