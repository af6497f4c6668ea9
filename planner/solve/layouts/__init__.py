"""The problem in which options lead from one state to the next, and its exact searches."""
