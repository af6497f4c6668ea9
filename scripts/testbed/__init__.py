"""Nodes on one Linux machine, joined by links of a set bandwidth and delay (docs/testbed.md)."""
