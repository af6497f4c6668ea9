"""A traced model as one call per layer, with every constant worked out."""
