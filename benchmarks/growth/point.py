"""`python -m benchmarks.growth.point STUDY VALUE`: one point of a study, in this process. Prints it as JSON."""

from __future__ import annotations

import json
import sys

from benchmarks.growth.roster import STUDIES

if __name__ == "__main__":
    print(json.dumps(STUDIES[sys.argv[1]].point(int(sys.argv[2]))))
