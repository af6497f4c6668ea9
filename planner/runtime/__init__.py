"""Slices of a model that run: every node its own part, in one process (docs/runtime.md)."""

from planner.runtime.slicing import slice_model

__all__ = ["slice_model"]
