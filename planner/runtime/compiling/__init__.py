"""From a sliced node to its program: segments between exchanges, compiled, and as files."""
