"""The version that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("disco-planner")
except PackageNotFoundError:  # run from a folder that was never installed
    VERSION = "unknown"
