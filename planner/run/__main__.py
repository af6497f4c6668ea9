"""``python -m planner.run PLAN …``: as ``planner run``, for torchrun, which starts modules."""

from __future__ import annotations

import sys

from app.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
