"""`python -m ops.init`: the one-shot service `init`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ops.init.certificates import ensure_certificates
from ops.init.secrets import WeakSecret, ensure

FOLDER = Path("/secrets")
TEMPLATE = Path(__file__).parents[1] / "redis" / "users.acl"


def main() -> int:
    """0 when all secrets are there; 1, with the reason, when one cannot be trusted or written."""
    try:
        made = ensure(FOLDER, TEMPLATE.read_text())
        made += ensure_certificates(FOLDER, os.environ.get("MANYCORE_TLS_NAMES", "").replace(",", " ").split())
    except (WeakSecret, OSError) as exc:
        print(f"init: {exc}", file=sys.stderr)
        return 1
    print(f"init: made {', '.join(made)}" if made else "init: every secret was there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
