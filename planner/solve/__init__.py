"""Solvers: arrays in, a choice and its certificate out. They know no physics."""
