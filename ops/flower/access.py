"""Who may see Flower: nobody without the generated password, on no path (`inside.close_gaps`)."""

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
