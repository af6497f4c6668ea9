"""What sparsity costs in accuracy: published curves, how they spread, how far to trust them."""
