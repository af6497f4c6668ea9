"""One option per layer: Lagrangian dual and exact search, and an integer program."""
