"""A plan run by processes, one a node, and the prediction held against the clock."""
