"""`python -m ops.flower.probe`: exits with 0 if Flower in this container answers."""

from __future__ import annotations

import base64
import sys
from urllib.request import Request, urlopen

from ops.flower.access import credentials


def main() -> int:
    """0 when the page answers, else 1 and the reason."""
    token = base64.b64encode(credentials().encode()).decode()
    request = Request("http://127.0.0.1:5555/healthcheck", headers={"Authorization": f"Basic {token}"})
    try:
        with urlopen(request, timeout=5):
            return 0
    except OSError as exc:
        print(f"Flower does not answer: {exc}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
