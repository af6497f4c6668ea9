"""Cutting one node's part out of every layer: which elements it holds, computes and is sent."""
