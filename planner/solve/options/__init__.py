"""One option per layer: the multiple-choice knapsack problem with peaks (docs/options.md)."""
