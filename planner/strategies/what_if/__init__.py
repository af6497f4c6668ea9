"""The same question asked again: other hardware, other limits, and what binds."""
