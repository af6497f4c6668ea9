"""Cuts, groups and options together: a dynamic program with a proof, and an integer program."""
