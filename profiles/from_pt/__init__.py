"""Weights that torch.save wrote: read in a limited child process, and never by running code."""
