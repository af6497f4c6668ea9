"""Front ends that turn models into profiles, and the library of models and clusters."""
