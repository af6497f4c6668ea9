"""A plan on the weights of the model that it was made for: which tensors, which masks."""
