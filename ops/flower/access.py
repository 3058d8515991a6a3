"""Who may see Flower: nobody without the generated password, on no path.

Flower 2.2 leaves /metrics and /healthcheck open even with basic authentication; this closes them, through names that
are not its public API (`flower==2.2.*` is pinned, and a test asks every path).
"""

from __future__ import annotations

import os
from pathlib import Path

PASSWORD_FILE = Path(os.environ.get("MANYCORE_FLOWER_PASSWORD_FILE", "/secrets/flower/password"))
USER = os.environ.get("MANYCORE_FLOWER_USER", "admin")


def credentials() -> str:
    """`user:password`, as Flower wants them."""
    password = PASSWORD_FILE.read_text().strip()
    if not password:
        raise SystemExit(f"The password file {PASSWORD_FILE} is empty. Delete it and run `init` again.")
    return f"{USER}:{password}"


def close_gaps() -> None:
    """Ask for the password on the paths where Flower does not."""
    from flower.views import auth, monitor  # here: the health check below needs neither
    from tornado.web import authenticated

    monitor.Metrics.get = authenticated(monitor.Metrics.get)
    monitor.Healthcheck.get = authenticated(monitor.Healthcheck.get)
    auth.LogoutHandler.get = authenticated(auth.LogoutHandler.get)
